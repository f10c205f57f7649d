"""What a trial is made of and what it leaves."""

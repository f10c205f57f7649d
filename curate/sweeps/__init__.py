"""What a few-shot sweep leaves on disk: written by `fewshot`, read by its reports and by the App."""

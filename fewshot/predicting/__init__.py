"""Using a trained model on files, folders, links and videos."""

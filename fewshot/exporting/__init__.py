"""A trained model that needs neither torch nor fewpose, as an ONNX file or a folder: `fewshot export`."""

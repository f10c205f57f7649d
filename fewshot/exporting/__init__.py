"""A trained model as an ONNX file that needs neither torch nor fewpose: `fewshot export`."""

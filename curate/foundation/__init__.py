"""What everything stands on: errors, the console, whole files, locks, options, YAML files, caches."""

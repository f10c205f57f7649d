"""`synth accept`: which synthetic images of a collection show their pose and are worth training on."""

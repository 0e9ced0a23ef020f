"""What tests of several rooms share: fakes of the world, never of our own code."""

"""The local stack: private engines, an AWS emulator and the project's own template deployed to it."""

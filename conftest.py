"""For every test of the repository."""

from hypothesis import settings

# A property that holds slowly still holds: machines are shared, and a pause of theirs is no finding.
settings.register_profile("hongyan", deadline=None)
settings.load_profile("hongyan")

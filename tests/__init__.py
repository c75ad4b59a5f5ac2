"""Makes this directory the package `tests`: without it, a dependency that installs a package of that name (x690, which
puresnmp needs, does) would come first."""

//! flit, hatch and pdm, which publish like the others; pdm installs too.

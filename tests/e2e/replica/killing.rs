//! SIGKILL at entries of the journal.

//! The terminal screen: every frame of every state of a run in four sizes, every key, and anything in any order.

mod estimates;
mod frames;
mod keys;
mod pictures;

mod random;
mod scenes;
mod stage;

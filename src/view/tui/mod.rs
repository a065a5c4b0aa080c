//! The terminal screen. The model knows, `update` takes in what happens, `draw` shows; one channel leads in. It reads
//! the journal's store like any other process: the executor never waits for it, and never hears that it is gone.
//!
//! ```text
//! keys, sizes ──┐
//! journal ──────┼─► update ─► model ─► draw
//! ticks ────────┘      │
//!                      └─► effects: a word to the run, the bell, leaving
//! ```

pub mod dialog;
pub mod draw;
pub mod key;
pub mod keymap;
pub mod model;
mod place;
mod plain_page;
mod run;
mod source;
mod speak;
mod terminal;
pub mod theme;
pub mod update;

pub use plain_page::summary;
pub use run::{Screen, is_able, show};

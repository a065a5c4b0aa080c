//! A world in memory: two databases with streams between them, a pooler, a load balancer, clients that write all the
//! time (one through the pooler, one that goes round it), and hands for the executor. After every act the invariants
//! are checked. It can fail any act in any way, stop dead in the middle of one, and say words meanwhile.

mod earth;
mod hands;
mod play;

pub use earth::Earth;
pub use hands::{Fault, When};
pub use play::{Outing, Play, plan_as_written, plan_of};

//! Cases by hand.

use super::*;

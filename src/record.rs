//! Turns an outcome into the delivery's next state.

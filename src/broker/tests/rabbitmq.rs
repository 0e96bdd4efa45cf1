//! Needs a RabbitMQ; its name tells `./test fast` to leave it out.

mod consuming;
mod dropping;
mod publishing;

use crate::broker::BrokerState;

fn is_connected(state: &BrokerState) -> bool {
    *state == BrokerState::Connected
}

/// Does something to the broker itself.
#[expect(clippy::disallowed_methods, reason = "where the broker of the tests is controlled")]
async fn control(arguments: &[&str]) {
    let program = std::env::var("TEST_RABBITMQ_CONTROL").unwrap_or_else(|_| {
        panic!(
            "TEST_RABBITMQ_CONTROL is not set: run ./test, which sets it to a program of its own"
        )
    });
    let done = tokio::process::Command::new(program).args(arguments).status().await.unwrap();
    assert!(done.success());
}

//! The broker's promises, against a real RabbitMQ.

mod rabbitmq;
mod stage;

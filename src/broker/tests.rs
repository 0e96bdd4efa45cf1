//! The broker's promises, against a real RabbitMQ.

mod proxy;
mod rabbitmq;
mod stage;

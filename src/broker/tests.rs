//! Against a real RabbitMQ.

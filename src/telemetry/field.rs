//! The names of log fields and spans: the same thing has the same name everywhere.
//!
//! None of them ever holds an address, a secret, a header or message text.

/// The span in which one event is taken in.
pub const SPAN_EVENT: &str = "event";
/// The span in which one delivery is tried.
pub const SPAN_DELIVERY: &str = "delivery";
/// The span of one HTTP request.
pub const SPAN_REQUEST: &str = "request";

/// Loa's own id of an event.
pub const EVENT_ID: &str = "event.id";
/// The type of an event.
pub const EVENT_TYPE: &str = "event.type";
/// The trace id of an event's `traceparent`.
pub const TRACE_ID: &str = "trace.id";
/// The id of a rejected event.
pub const REJECTED_ID: &str = "rejected.id";
/// The id of a delivery.
pub const DELIVERY_ID: &str = "delivery.id";
/// The state that a delivery came to.
pub const DELIVERY_STATE: &str = "delivery.state";
/// Why something is as it is: a reason's word.
pub const REASON: &str = "reason";
/// The step of an event type's plan.
pub const STEP: &str = "step";
/// The channel.
pub const CHANNEL: &str = "channel";
/// The lane.
pub const LANE: &str = "lane";
/// The provider's name.
pub const PROVIDER: &str = "provider";
/// The number of an attempt, from one.
pub const ATTEMPT: &str = "attempt";
/// The class of a provider's answer.
pub const CLASS: &str = "class";
/// The template's folder.
pub const TEMPLATE: &str = "template";
/// How many of something.
pub const COUNT: &str = "count";
/// How long something took or takes, in milliseconds.
pub const MILLIS: &str = "millis";
/// An error with its chain of causes.
pub const ERROR: &str = "error";
/// The name of an exchange or queue.
pub const QUEUE: &str = "queue";
/// The route of an HTTP request, as declared, without its values.
pub const ROUTE: &str = "route";
/// The status code of an HTTP answer.
pub const STATUS: &str = "status";
/// The id of one run of the process.
pub const RUN_ID: &str = "run.id";

/// Every field name, for the test that looks for others.
pub const ALL: [&str; 21] = [
    EVENT_ID,
    EVENT_TYPE,
    TRACE_ID,
    REJECTED_ID,
    DELIVERY_ID,
    DELIVERY_STATE,
    REASON,
    STEP,
    CHANNEL,
    LANE,
    PROVIDER,
    ATTEMPT,
    CLASS,
    TEMPLATE,
    COUNT,
    MILLIS,
    ERROR,
    QUEUE,
    ROUTE,
    STATUS,
    RUN_ID,
];

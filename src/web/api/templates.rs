//! Templates: listed, and shown as their readers would see them, edited or as they are.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use crate::lifecycle::CutOff;
use crate::model::address::Channel;
use crate::model::message::{Dialect, Message};
use crate::pipeline::Rulebook;
use crate::render::{Edit, Preview, RenderFault, Rendered, TemplateFault, sms};
use crate::web::Surroundings;
use crate::web::problem::Problem;

/// The longest text that an edited template may have, in bytes.
const MAX_TEXT: usize = 256 << 10;

/// Previews take a core each, and threads that the store's reads need too.
static PREVIEWS: Semaphore = Semaphore::const_new(2);

/// Every template, in each of its languages and channels.
pub(in crate::web) async fn list(State(surroundings): State<Surroundings>) -> Json<Value> {
    let rulebook = surroundings.pipeline.acceptor().rulebook();
    let row = |(name, locale, channel): (&str, &str, &str)| json!({ "name": name, "locale": locale, "channel": channel });
    Json(json!({ "templates": rulebook.templates.list().map(row).collect::<Vec<_>>() }))
}

/// What is to be shown.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct PreviewBody {
    /// `email`, `chat` or `sms`.
    #[schema(value_type = String)]
    channel: Channel,
    /// The reader's language; the default one if none is given.
    #[serde(default)]
    locale: Option<String>,
    /// The event's data; the template's sample if none is given.
    #[serde(default)]
    data: Option<Value>,
    /// The text of the template's file as it shall become; as it is if none is given.
    #[serde(default)]
    text: Option<String>,
    /// Shows it to somebody of whom neither name nor manager is known.
    #[serde(default)]
    unknown: bool,
}

/// Renders a template for an invented recipient; keeps and sends nothing.
pub(in crate::web) async fn preview(
    State(surroundings): State<Surroundings>,
    Path(name): Path<String>,
    Json(body): Json<PreviewBody>,
) -> Result<Json<Value>, Problem> {
    if body.text.as_ref().is_some_and(|text| text.len() > MAX_TEXT) {
        let detail = format!("the text of a template has {MAX_TEXT} bytes at most");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too large", detail));
    }
    let rulebook = surroundings.pipeline.acceptor().rulebook();
    let locale = body.locale.clone();
    let locale = locale.unwrap_or_else(|| surroundings.config.defaults.locale.clone());
    if body.text.is_none() && rulebook.templates.locale_for(&name, body.channel, &locale).is_none()
    {
        return Err(Problem::not_found("template"));
    }
    let now = surroundings.clock.now();
    // Compiling an email takes its time, in which others are not to wait.
    let turn = PREVIEWS.acquire().await.map_err(|_| Problem::internal())?;
    let work = move || {
        // It goes on when nobody waits for the answer any more.
        let _turn = turn;
        show(&rulebook, (&name, &locale), &body, now)
    };
    let shown = tokio::task::spawn_blocking(work).await;
    let rendered = shown.map_err(CutOff::from).map_err(|error| {
        tracing::error!(%error, "a preview was cut off: {error}");
        Problem::internal()
    })??;
    let mut answer =
        json!({ "message": rendered.message, "template_version": rendered.template_version });
    if let Message::Sms(message) = &rendered.message {
        let sms::Comparison { with_accents, without_accents } = sms::compare(&message.text);
        answer["with_accents"] = json!(with_accents);
        answer["without_accents"] = json!(without_accents);
    }
    Ok(Json(answer))
}

fn show(
    rulebook: &Rulebook,
    (template, locale): (&str, &str),
    body: &PreviewBody,
    now: jiff::Timestamp,
) -> Result<Rendered, Problem> {
    let preview = Preview {
        template,
        locale,
        channel: body.channel,
        category: rulebook.category_of(template),
        data: body.data.as_ref(),
        is_known: !body.unknown,
    };
    let moment = (Dialect::CommonMark, now);
    let rendered = match &body.text {
        None => rulebook.templates.preview(&preview, &rulebook.letterhead, moment),
        Some(text) => {
            let edit = Edit { template, locale, channel: body.channel, text };
            let edited = rulebook.templates.edited(&edit, &rulebook.catalogue).map_err(faulty)?;
            edited.preview(&preview, &rulebook.letterhead, moment)
        }
    };
    rendered.map_err(|RenderFault { file, fault, .. }| faulty(vec![TemplateFault { file, fault }]))
}

/// The faults of a template, each with its place.
fn faulty(faults: Vec<TemplateFault>) -> Problem {
    let first = faults.first().map(ToString::to_string).unwrap_or_default();
    let row = |TemplateFault { file, fault }: &TemplateFault| {
        json!({ "file": file, "line": fault.line, "column": fault.column,
                "message": fault.message })
    };
    let rows: Vec<Value> = faults.iter().map(row).collect();
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "template does not render", first)
        .with(json!({ "faults": rows }))
}

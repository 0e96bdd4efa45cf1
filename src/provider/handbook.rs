//! The handbook of providers, written from the list of kinds.

use super::{KINDS, Kind};

const HEAD: &str = "\
# Providers

A provider is one configured way out of a channel: a table `[providers.NAME]` in `loa.toml`, whose
`kind` says what sort of gateway stands behind it. `loa providers test NAME --to ADDRESS` sends one
labelled message by it and shows what was answered.

<!-- Written by `loa providers kinds > docs/providers.md`; change the kinds in src/provider/. -->

## Settings of every kind

```toml
[providers.NAME]
kind = \"smtp\"
concurrency = 8          # calls at once
rate = \"14/s\"            # calls over all processes
burst = 2                # calls at once after a pause, within the rate; a tenth of it if not given
timeout = \"30s\"          # of one call
breaker.open_for = \"1 min\" # without calls after failures; twice as long if a probe fails
```

Any value may come from the environment (`LOA__PROVIDERS__NAME__KEY`) and any text from a file
(`KEY_file`). Secrets that a gateway repeats in its answer are not kept.

## What becomes of a message

| class | means | then |
| --- | --- | --- |
| accepted | the gateway took it over | the delivery is `sent` |
| later | not now | it is tried again, at the gateway's own time if it gave one |
| refused | never, this message | the delivery has `failed` |
| bad address | nobody is there | the delivery `bounced`, and the address is suppressed |
| misconfigured | our settings or account are at fault | the provider is put on hold; the delivery waits |
| unknown | the connection broke after the message was handed over | the event type says: retry or hold |

Where an address brings its own URL, failures blame the address and never the provider.
";

/// The handbook as Markdown.
pub fn handbook() -> String {
    let chapters = KINDS.iter().map(|kind| chapter(kind));
    std::iter::once(HEAD.to_owned()).chain(chapters).collect::<Vec<_>>().join("\n")
}

fn chapter(kind: &Kind) -> String {
    let Kind { name, channels, about, answers, example, .. } = kind;
    let channels: Vec<_> = channels.iter().map(|channel| channel.as_str()).collect();
    let channels = channels.join(", ");
    let rows: String =
        answers.iter().map(|(said, means)| format!("| {said} | {means} |\n")).collect();
    format!(
        "## `{name}`\n\nFor {channels}. {about}\n\n```toml\n{example}```\n\n\
         | the gateway says | that is |\n| --- | --- |\n{rows}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handbook_is_the_one_in_the_docs() {
        let written = include_str!("../../docs/providers.md");

        assert!(
            written == handbook(),
            "docs/providers.md is out of date: cargo run -- providers kinds > docs/providers.md"
        );
    }
}

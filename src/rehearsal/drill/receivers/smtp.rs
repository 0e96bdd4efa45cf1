//! The relay: one session.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::{LONGEST, say_nothing};
use crate::rehearsal::drill::manner::Manner;
use crate::rehearsal::drill::tally::{Mark, Tally};

/// SMTP with pipelining (RFC 2920); answers go out when there is nothing left to read.
pub(super) async fn take_mails(stream: TcpStream, tally: Arc<Tally>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (read, write) = stream.into_split();
    let (mut read, mut write) = (BufReader::with_capacity(32 << 10, read), BufWriter::new(write));
    let mut line = Vec::new();
    write.write_all(b"220 drill ready\r\n").await.ok()?;
    loop {
        if read.buffer().is_empty() {
            write.flush().await.ok()?;
        }
        line.clear();
        read.read_until(b'\n', &mut line).await.ok().filter(|length| *length > 0)?;
        let answer: &[u8] = match line.get(..4).unwrap_or_default() {
            b"EHLO" => b"250-drill\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 10485760\r\n",
            b"DATA" => {
                let manner = tally.next_manner();
                if manner == Some(Manner::CutsBefore) {
                    return None;
                }
                write.write_all(b"354 go on\r\n").await.ok()?;
                write.flush().await.ok()?;
                let mark = read_mail(&mut read).await?;
                tally.note(mark, manner);
                match manner {
                    None => b"250 2.0.0 taken\r\n",
                    Some(Manner::TooMany) => b"421 4.7.0 too many\r\n",
                    Some(Manner::Broken) => b"451 4.3.0 broken\r\n",
                    Some(Manner::Refuses) => b"554 5.6.0 no\r\n",
                    Some(Manner::Hangs) => return say_nothing(&mut read).await,
                    Some(Manner::CutsBefore | Manner::CutsAfter) => return None,
                    Some(Manner::BreaksOff) => {
                        write.write_all(b"25").await.ok()?;
                        write.flush().await.ok()?;
                        return None;
                    }
                    Some(Manner::Garbage) => b"\x16\x03\x01 no SMTP at all\r\n",
                }
            }
            b"QUIT" => return None,
            _ => b"250 2.0.0 ok\r\n",
        };
        write.write_all(answer).await.ok()?;
    }
}

/// Reads up to the line that is a dot alone; the mark is the left side of the Message-ID.
async fn read_mail(read: &mut BufReader<OwnedReadHalf>) -> Option<Mark> {
    const NAME: &str = "message-id:";
    let (mut line, mut mark, mut length) = (Vec::new(), Mark::Unknown, 0);
    while line != b".\r\n" {
        line.clear();
        read.read_until(b'\n', &mut line).await.ok().filter(|read| *read > 0)?;
        length += line.len();
        if length > LONGEST {
            return None;
        }
        if mark == Mark::Unknown
            && line.len() > NAME.len()
            && let Ok(text) = std::str::from_utf8(&line)
            && let Some((name, value)) = text.split_at_checked(NAME.len())
            && name.eq_ignore_ascii_case(NAME)
        {
            let id = value.trim().trim_start_matches('<').split('@').next().unwrap_or_default();
            mark = Mark::of_id(id);
        }
    }
    Some(mark)
}

//! The Rust driver: one command a line in, one answer a line out, as tests/drivers/README.md says. It judges nothing.

mod answer;
mod call;
mod client;
mod download;
mod fields;
mod list;
mod loud;
mod stream;
mod upload;

use answer::Answer;
use call::Call;
use fields::Fields;
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex};
use svctoken::{Client, LogEvent};

/// The test is wrong, not the library.
struct Broken(String);

/// What a client's log hook was told.
type Events = Arc<Mutex<Vec<LogEvent>>>;

#[derive(Default)]
struct Driver {
    clients: HashMap<String, Client>,
    events: HashMap<String, Events>,
    calls: HashMap<String, Call>,
}

fn main() -> std::io::Result<()> {
    loud::log_everything();
    let mut driver = Driver::default();
    let mut stdout = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let quit = line == "quit";
        let answer =
            if quit { Answer::ok() } else { driver.answer(&line).unwrap_or_else(|Broken(why)| Answer::broken(&why)) };
        stdout.write_all(answer.line().as_bytes())?;
        stdout.flush()?;
        if quit {
            break;
        }
    }
    Ok(())
}

impl Driver {
    fn answer(&mut self, line: &str) -> Result<Answer, Broken> {
        let mut fields = Fields::read(line)?;
        let command = fields.word()?;
        match command.as_str() {
            "client" => {
                let id = fields.word()?;
                let events = Events::default();
                Ok(match client::make(fields, &events)? {
                    Ok(client) => {
                        loud::show(&client);
                        self.clients.insert(id.clone(), client);
                        self.events.insert(id, events);
                        Answer::ok()
                    }
                    Err(error) => Answer::error(&error),
                })
            }
            "get_token" | "get_token_info" | "introspect" | "revoke" | "request" | "pages" | "items" => {
                let id = fields.word()?;
                let client = self.client(&fields.word()?)?.clone();
                let call = match command.as_str() {
                    "get_token" => call::get_token(client, fields)?,
                    "get_token_info" => call::get_token_info(client, fields)?,
                    "introspect" => call::introspect(client, fields)?,
                    "revoke" => call::revoke(client, fields)?,
                    "pages" => list::pages(client, fields)?,
                    "items" => list::items(client, fields)?,
                    _ => call::request(client, fields)?,
                };
                self.calls.insert(id, call);
                Ok(Answer::ok())
            }
            "wait" => {
                let id = fields.word()?;
                let call = self.calls.remove(&id).ok_or_else(|| Broken(format!("unknown call {id}")))?;
                Ok(call.wait())
            }
            "cancel" => {
                let id = fields.word()?;
                let call = self.calls.get(&id).ok_or_else(|| Broken(format!("unknown call {id}")))?;
                call.cancel();
                Ok(Answer::ok())
            }
            "invalidate_token" => {
                let client = self.client(&fields.word()?)?;
                let dropped = client.invalidate_token(&fields.word()?);
                Ok(Answer::ok().with("result", dropped))
            }
            "clear_cache" => {
                let cleared = self.client(&fields.word()?)?.clear_cache();
                Ok(cleared.map_or_else(|error| Answer::error(&error), |()| Answer::ok()))
            }
            "advance" => {
                svctoken::testing::advance_clock(fields::milliseconds(&fields.word()?)?);
                Ok(Answer::ok())
            }
            "stats" => {
                let stats = self.client(&fields.word()?)?.stats();
                loud::show(&stats);
                Ok(answer::of_stats(&stats))
            }
            "events" => {
                let id = fields.word()?;
                let events = self.events.get(&id).ok_or_else(|| Broken(format!("unknown client {id}")))?;
                let taken = std::mem::take(&mut *events.lock().expect("nothing panics while it holds this lock"));
                Ok(answer::of_events(&taken))
            }
            "close" => {
                self.client(&fields.word()?)?.close();
                Ok(Answer::ok())
            }
            "describe" => {
                let client = self.client(&fields.word()?)?;
                Ok(Answer::ok().with("text", format!("{client:?}")))
            }
            _ => Err(Broken(format!("unknown command {command}"))),
        }
    }

    fn client(&self, id: &str) -> Result<&Client, Broken> {
        self.clients.get(id).ok_or_else(|| Broken(format!("unknown client {id}")))
    }
}

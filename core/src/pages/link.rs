//! Where an answer says that the next page of its list is.

use serde_json::Value;

use crate::response::Response;

/// The reference that the answer gives of its next page: of its `Link` headers (RFC 8288), or else of the JSON body's
/// `links`, as Atlas writes them. The error says what is wrong with the answer.
pub(super) fn next(page: &Response) -> Result<Option<String>, String> {
    let mut fields = page.headers().filter(|(name, _)| *name == "link");
    if let Some(target) = fields.find_map(|(_, field)| next_of_header(&field).map(str::to_owned)) {
        return Ok(Some(target));
    }
    let content_type = page.header("content-type").unwrap_or_default();
    if is_json(&content_type) && !page.body().is_empty() { next_of_body(page.body()) } else { Ok(None) }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

fn next_of_body(body: &[u8]) -> Result<Option<String>, String> {
    let json: Value = serde_json::from_slice(body).map_err(|error| format!("has a body that is not JSON: {error}"))?;
    let Some(links) = json.get("links").and_then(Value::as_array) else { return Ok(None) };
    let is_next = |link: &&Value| link["rel"].as_str().is_some_and(|rel| rel.eq_ignore_ascii_case("next"));
    match links.iter().find(is_next).map(|link| &link["href"]) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(target)) => Ok(Some(target.clone())),
        Some(_) => Err("has a link to a next page whose href is no text".into()),
    }
}

/// The target of the first link to `next` in a field of `Link`, read as RFC 8288 appendix B.2 says: what comes after a
/// link that is none is not read. A link of another context (`anchor`) is not this answer's.
fn next_of_header(field: &str) -> Option<&str> {
    let mut rest = field;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']).strip_prefix('<')?;
        let target;
        (target, rest) = rest.split_once('>')?;
        let (mut relations, mut is_anchored) = (None, false);
        while let Some(parameter) = after_space(rest).strip_prefix(';') {
            let (name, value);
            (name, value, rest) = parameter_of(parameter);
            match name.to_ascii_lowercase().as_str() {
                // Only the first counts (RFC 8288 section 3.3).
                "rel" => relations = relations.or(Some(value)),
                "anchor" => is_anchored = true,
                _ => {}
            }
        }
        let relations = relations.unwrap_or_default();
        let is_next = relations.split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next"));
        if is_next && !is_anchored {
            return Some(target);
        }
        rest = after_space(rest);
        if !rest.starts_with(',') {
            return None;
        }
    }
}

/// A parameter's name and value, and what follows it (RFC 8288 appendix B.3).
fn parameter_of(text: &str) -> (&str, String, &str) {
    let text = after_space(text);
    let (name, rest) = text.split_at(text.find([' ', '\t', '=', ';', ',']).unwrap_or(text.len()));
    let Some(value) = after_space(rest).strip_prefix('=') else { return (name, String::new(), rest) };
    let value = after_space(value);
    let Some(quoted) = value.strip_prefix('"') else {
        let (value, rest) = value.split_at(value.find([';', ',']).unwrap_or(value.len()));
        return (name, value.trim_end_matches([' ', '\t']).into(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            _ => value.push(character),
        }
    }
    (name, value, characters.as_str())
}

fn after_space(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_field_is_read_as_rfc_8288_says() {
        let cases = [
            (r#"<https://a.example/2>; rel="next""#, Some("https://a.example/2")),
            (r#"</2>;rel=next"#, Some("/2")),
            (r#"</2>;rel=next ;title=x"#, Some("/2")),
            (r#"</2> ; REL = "NeXT""#, Some("/2")),
            (r#"</1>; rel="prev", </2>; rel="next""#, Some("/2")),
            (r#"</1>;rel=prev,</2>;rel=next,</3>;rel=next"#, Some("/2")),
            (r#",, </2>; rel="next","#, Some("/2")),
            (r#"</2>; rel="last next""#, Some("/2")),
            ("</2>; rel=\"last\tnext\"", Some("/2")),
            (r#"</2>; title="a, b; rel=prev"; rel="next""#, Some("/2")),
            (r#"</1>; title="</x>; rel=\"next\", <y>"; rel="prev", </2>; rel=next"#, Some("/2")),
            (r#"</a,b;c>; rel=next"#, Some("/a,b;c")),
            (r#"</2>; crossorigin; rel=next"#, Some("/2")),
            (r#"</2>; rel="next"#, Some("/2")),
            ("<>; rel=next", Some("")),
            (r#"</2>; rel="prev"; rel="next""#, None),
            (r#"</2>; rel="nextish""#, None),
            (r#"</2>; rel="http://a.example/next""#, None),
            (r#"</2>; rev="next""#, None),
            (r#"</2>; title="rel=next""#, None),
            (r#"</2>; rel="next"; anchor="/other""#, None),
            (r#"</2>"#, None),
            (r#"</2; rel=next"#, None),
            (r#"/2; rel=next"#, None),
            (r#"nonsense, </2>; rel=next"#, None),
            (r#"</1>; rel=prev nonsense </2>; rel=next"#, None),
            ("", None),
            (",;,<,\"", None),
        ];
        for (field, expected) in cases {
            assert_eq!(next_of_header(field), expected, "{field}");
        }
    }

    #[test]
    fn the_links_of_a_body_are_read_as_atlas_writes_them() {
        let cases = [
            (r#"{"links":[{"href":"/1","rel":"self"},{"href":"/2","rel":"next"}],"results":[]}"#, Ok(Some("/2"))),
            (r#"{"links":[{"href":"/2","rel":"Next"}]}"#, Ok(Some("/2"))),
            (r#"{"links":[{"href":"/1","rel":"self"}]}"#, Ok(None)),
            (r#"{"links":[{"href":null,"rel":"next"}]}"#, Ok(None)),
            (r#"{"links":[null,1,[],{"rel":7},{"href":"/2","rel":"next"}]}"#, Ok(Some("/2"))),
            (r#"{"links":{"next":"/2"}}"#, Ok(None)),
            (r#"[{"links":[{"href":"/2","rel":"next"}]}]"#, Ok(None)),
            (r#"{"links":[{"href":7,"rel":"next"}]}"#, Err(())),
            (r#"{"links":[{"href":"/2","rel":"next"}]"#, Err(())),
        ];
        for (body, expected) in cases {
            let found = next_of_body(body.as_bytes()).map_err(|_| ());
            assert_eq!(found, expected.map(|target| target.map(str::to_owned)), "{body}");
        }
    }

    #[test]
    fn which_content_types_are_json() {
        for json in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.atlas.2023-01-01+json"] {
            assert!(is_json(json), "{json}");
        }
        for other in ["", "text/html", "application/jsonl", "application/vnd.atlas.2023-01-01+csv"] {
            assert!(!is_json(other), "{other}");
        }
    }
}

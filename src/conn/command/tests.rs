use super::*;

const LIST: Command<'_> = Command::RoomList {
    after: None,
    limit: None,
    watch: None,
};

#[test]
fn commands_are_read_with_their_optional_fields() {
    let (command, id) =
        parse(r#"{"type":"join","room":"tech","since":"0:1","other":[1]}"#).expect("is a join");
    assert_eq!(
        command,
        Command::Join {
            room: "tech".into(),
            since: Some("0:1".into())
        }
    );
    assert_eq!(id, None);
    let (command, id) = parse(r#"{"id":"a","content":"\uc548\ub155","room":"tech","type":"chat"}"#)
        .expect("is a chat");
    assert_eq!(
        command,
        Command::Chat {
            room: "tech".into(),
            content: "안녕".into()
        }
    );
    assert_eq!(id.as_deref(), Some("a"));
}

#[test]
fn what_is_wrong_has_its_code() {
    for (text, code) in [
        ("", ErrorCode::BadJson),
        ("{", ErrorCode::BadJson),
        ("hello", ErrorCode::BadJson),
        ("[]", ErrorCode::BadRequest),
        (r#"["join","a"]"#, ErrorCode::BadRequest),
        ("{}", ErrorCode::BadRequest),
        (r#"{"type":7}"#, ErrorCode::BadRequest),
        (r#"{"type":"join"}"#, ErrorCode::BadRequest),
        (r#"{"type":"join","room":["a"]}"#, ErrorCode::BadRequest),
        (r#"{"type":"dance"}"#, ErrorCode::UnknownType),
        (r#"{"type":"room_list","watch":1}"#, ErrorCode::BadRequest),
        (
            r#"{"type":"room_list","after":true}"#,
            ErrorCode::BadRequest,
        ),
        (r#"{"type":"room_list","limit":"9"}"#, ErrorCode::BadRequest),
        (r#"{"type":"history"}"#, ErrorCode::BadRequest),
        (
            r#"{"type":"history","room":"a","before":7}"#,
            ErrorCode::BadRequest,
        ),
    ] {
        assert_eq!(parse(text).map_err(|(code, _)| code), Err(code), "{text}");
    }
}

#[test]
fn the_list_of_rooms_and_a_history_are_read_with_what_is_asked_of_them() {
    let (command, _) = parse(r#"{"type":"room_list","watch":true,"limit":7}"#).expect("is a list");
    let list = Command::RoomList {
        after: None,
        limit: Some(7),
        watch: Some(true),
    };
    assert_eq!(command, list);
    let (command, id) = parse(r#"{"type":"history","room":"a","before":"0:7","limit":9,"id":"1"}"#)
        .expect("is a history");
    let history = Command::History {
        room: "a".into(),
        before: Some("0:7".into()),
        limit: Some(9),
    };
    assert_eq!((command, id.as_deref()), (history, Some("1")));
}

#[test]
fn a_field_that_the_type_does_not_have_may_be_anything() {
    assert_eq!(
        parse(r#"{"type":"room_list","room":5,"since":{}}"#),
        Ok((LIST, None))
    );
    assert_eq!(parse(r#"{"type":"room_list","id":null}"#), Ok((LIST, None)));
}

#[test]
fn a_lone_surrogate_is_taken_as_the_replacement_character() {
    let chat = |content: &'static str| Command::Chat {
        room: "a".into(),
        content: content.into(),
    };
    for (content, expected) in [
        (r"hi \ud83d", "hi \u{fffd}"),
        (r"\uDE00 hi", "\u{fffd} hi"),
        (r"\ud83d\ude00 \ud83d\ud83d\ude00", "😀 \u{fffd}😀"),
        (r"\\ud83d \ud83dx\n", "\\ud83d \u{fffd}x\n"),
    ] {
        let text = format!(r#"{{"type":"chat","room":"a","content":"{content}","id":"7"}}"#);
        assert_eq!(
            parse(&text),
            Ok((chat(expected), Some("7".into()))),
            "{text}"
        );
    }
}

#[test]
fn a_refusal_names_the_id_unless_it_is_none() {
    for (text, code, id) in [
        (r#"{"type":"x","id":"7"}"#, ErrorCode::UnknownType, "7"),
        (
            r#"{"type":"chat","type":"chat","room":"a","content":"b","id":"7"}"#,
            ErrorCode::BadRequest,
            "7",
        ),
        (
            r#"{"id":"7","id":"8","type":"room_list"}"#,
            ErrorCode::BadRequest,
            "7",
        ),
        (
            r#"{"id":"7","type":"room_list"} x"#,
            ErrorCode::BadJson,
            "7",
        ),
        (r#"{type:"room_list","id":"7"}"#, ErrorCode::BadJson, "7"),
        (
            r#"{"id":"\ud83d","type":"x"}"#,
            ErrorCode::UnknownType,
            "\u{fffd}",
        ),
    ] {
        assert_eq!(parse(text), Err((code, Some(id.into()))), "{text}");
    }
    let long = format!(r#"{{"type":"room_list","id":"{}"}}"#, "x".repeat(65));
    assert_eq!(parse(&long), Err((ErrorCode::BadRequest, None)));
}

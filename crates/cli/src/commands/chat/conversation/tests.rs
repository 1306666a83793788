//! What a conversation keeps and drops.

use super::*;

fn roles(conversation: &Conversation) -> String {
    conversation
        .messages()
        .iter()
        .map(|m| m.content.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

fn talk() -> Conversation {
    let mut talk = Conversation::new(Some("s"));
    for (user, answer) in [("u1", "a1"), ("u2", "a2")] {
        talk.push_user(user.into());
        talk.push_answer(answer.into());
    }
    talk.push_user("u3".into());
    talk
}

#[test]
fn the_oldest_turns_go_first_and_the_system_stays() {
    let mut talk = talk();
    assert!(talk.drop_oldest());
    assert_eq!(roles(&talk), "s u2 a2 u3");
    assert!(talk.drop_oldest());
    assert_eq!(roles(&talk), "s u3");
    assert!(!talk.drop_oldest());
    assert_eq!(roles(&talk), "s u3");
}

#[test]
fn turns_are_taken_back() {
    let mut talk = talk();
    assert!(!talk.take_back_answer(), "the last turn is the user's");
    talk.take_back_turn();
    assert!(talk.take_back_answer());
    assert_eq!(roles(&talk), "s u1 a1 u2");
    talk.reset();
    assert_eq!(roles(&talk), "s");
    talk.set_system("");
    assert_eq!(talk.len(), 0);
    assert!(!talk.take_back_answer());
}

#[test]
fn what_is_saved_can_be_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talk.json");
    talk().save(&path, "m").unwrap();
    assert_eq!(
        Conversation::load(&path).unwrap().messages(),
        talk().messages()
    );
    std::fs::write(&path, r#"{"schema":"other/1","model":"m","messages":[]}"#).unwrap();
    assert!(
        Conversation::load(&path)
            .unwrap_err()
            .to_string()
            .contains("other/1")
    );
    std::fs::write(&path, "[]").unwrap();
    assert!(Conversation::load(&path).is_err());
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
}

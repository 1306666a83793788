//! Whoever waits may stop, also while several clients wait for servers that send nothing.

use std::time::{Duration, Instant};

use endpoint::{Options, measure};

use crate::{
    caching, connect, options,
    wire::{Piece, Site, events, model_list},
};

#[test]
fn before_a_request() {
    let site = caching();
    let mut heard = std::collections::BTreeSet::new();
    let report = measure(
        &connect(&site).expect("a server"),
        &options(),
        &mut |stage, share| {
            assert!((0.0..=1.0).contains(&share));
            heard.insert(stage.to_owned());
            // The first, two that learn, the few words, the new prompt.
            heard.len() < 5
        },
    )
    .expect("a report");
    assert_eq!(report.stopped.as_deref(), Some("interrupted"));
    assert_eq!(report.requests, 5);
    assert_eq!(report.failures, []);
}

#[test]
fn while_several_clients_wait() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let site = Site::new(move |request| {
        if request.path == "/v1/models" {
            return model_list(&["tiny"]);
        }
        let event = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
        let answer = events(&[event, event, "[DONE]"]);
        // Three requests to begin with and four of the only round; then one client in three gets an answer.
        let number = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if number < 9 || number.is_multiple_of(3) {
            return answer;
        }
        vec![Piece::Wait(Duration::from_secs(20))]
    });
    let server = endpoint::Server::connect(
        &site.address(),
        None,
        None,
        endpoint::Patience {
            connect: Duration::from_secs(5),
            stall: Duration::from_secs(30),
        },
    )
    .expect("a server");
    let options = Options {
        depths: vec![0],
        rounds: 1,
        clients: vec![6],
        ..options()
    };
    let mut since: Option<Instant> = None;
    let began = Instant::now();
    let report = measure(&server, &options, &mut |stage, _| {
        if stage.contains("clients") {
            return since.get_or_insert_with(Instant::now).elapsed() < Duration::from_millis(700);
        }
        true
    })
    .expect("a report");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(report.stopped.as_deref(), Some("interrupted"));
    // Those that had ended count, those on their way are no failures.
    let clients = &report.clients[0];
    assert_eq!(
        (clients.clients, clients.failed, report.failures.len()),
        (6, 0, 0)
    );
    assert!((1..6).contains(&clients.requests), "{clients:?}");
    assert!(clients.tokens_per_s > 0.0);
}

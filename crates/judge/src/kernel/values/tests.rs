//! Bytes of a question have the lengths that the table in the head says, and no two calls are alike.

use super::*;

#[test]
fn questions_and_answers_have_their_lengths() {
    for (text, inputs, outputs) in [
        ("matmul:2x3x5", 2 * 3 + 5 * 3, 2 * 5),
        ("rms_norm:2x3", 2 * 3 + 3, 2 * 3),
        ("attention:2x3x4x2x8", 2 * 4 * 8 + 2 * 5 * 2 * 8, 2 * 4 * 8),
        (
            "gated_delta:3x2x4x8x16",
            2 * 3 * 2 * 8 + 3 * 4 * 16 + 2 * 3 * 4 + 4 * 8 * 16,
            3 * 4 * 16 + 4 * 8 * 16,
        ),
    ] {
        let problem: Problem = text.parse().unwrap();
        let call = Call::draw(&problem, &mut Random::new(1, "test"));
        let header = 8 + 4 * problem.dimensions().len();
        assert_eq!(call.question().len(), header + 4 * inputs, "{text}");
        assert_eq!(call.answer_bytes(), 4 * outputs, "{text}");
        let reference = call.reference();
        assert_eq!(
            reference.iter().map(Vec::len).sum::<usize>(),
            outputs,
            "{text}"
        );
        assert!(reference.iter().flatten().all(|value| value.is_finite()));
    }
}

#[test]
fn each_call_has_new_values() {
    let problem: Problem = "matmul:2x8x8".parse().unwrap();
    let mut random = Random::new(1, "test");
    let (one, other) = (
        Call::draw(&problem, &mut random),
        Call::draw(&problem, &mut random),
    );
    assert!(one.inputs.iter().zip(&other.inputs).all(|(a, b)| a != b));
}

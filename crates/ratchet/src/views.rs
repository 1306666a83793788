//! The ledger as tables for SQL: views over the records' JSON, made anew for each query.

/// Name and `SELECT` of each view.
pub const VIEWS: [(&str, &str); 4] = [
    (
        "experiments",
        "SELECT p.experiment AS experiment, p.at AS at, p.epoch AS epoch,
                json_extract(p.body, '$.proposer') AS proposer,
                json_extract(p.body, '$.title') AS title,
                json_extract(p.body, '$.commit') AS commit_id,
                json_extract(p.body, '$.base') AS base,
                json_extract(p.body, '$.tree') AS tree,
                json_extract(p.body, '$.knobs') AS knobs,
                (SELECT json_extract(v.body, '$.why.why') FROM entries v
                  WHERE v.kind = 'void' AND v.experiment = p.experiment) AS void,
                (SELECT COALESCE(json_extract(m.body, '$.event.screen.reading.score.public'),
                                 json_extract(m.body, '$.event.screen.reading.block.log_ratio'))
                   FROM entries m WHERE m.kind = 'measured' AND m.experiment = p.experiment) AS screen,
                (SELECT json_extract(m.body, '$.figures.loss.loss') FROM entries m
                  WHERE m.kind = 'measured' AND m.experiment = p.experiment) AS loss
           FROM entries p WHERE p.kind = 'proposed'",
    ),
    (
        "measurements",
        "SELECT seq, at, epoch, judge, experiment,
                (SELECT key FROM json_each(body, '$.event')) AS what,
                json_extract(body, '$.figures.seconds') AS seconds,
                json_extract(body, '$.figures.overhead_seconds') AS overhead_seconds,
                json_extract(body, '$.event') AS event,
                json_extract(body, '$.figures') AS figures,
                json_extract(body, '$.decisions') AS decisions
           FROM entries WHERE kind = 'measured'",
    ),
    (
        "runs",
        "SELECT m.seq AS seq, m.experiment AS experiment,
                json_extract(r.value, '$.arm') AS arm,
                json_extract(r.value, '$.seconds') AS seconds,
                json_extract(r.value, '$.cpu_seconds') AS cpu_seconds,
                json_extract(r.value, '$.peak_memory_bytes') AS peak_memory_bytes,
                json_extract(r.value, '$.units') AS units,
                json_extract(r.value, '$.joules') AS joules
           FROM entries m, json_each(m.body, '$.figures.runs') r WHERE m.kind = 'measured'",
    ),
    (
        "promotions",
        "SELECT seq, at, json_extract(body, '$.race') AS race, json_extract(body, '$.from') AS from_id,
                json_extract(body, '$.to') AS to_id, json_extract(body, '$.members') AS members
           FROM entries WHERE kind = 'promoted'",
    ),
];

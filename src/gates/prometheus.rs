//! The answer of Prometheus to an instant query. The answer carries the time at which the query was evaluated, not
//! that of the samples, which may be minutes old; so their own times are asked for beside it.
//! <https://prometheus.io/docs/prometheus/latest/querying/api/>

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{Reading, figure, http, limits, seconds};
use crate::runbook::model::PrometheusGate;
use crate::secret;

pub async fn measure(gate: &PrometheusGate) -> Reading {
    let threshold = threshold(gate);
    let answer = match ask(gate, &gate.query, None).await {
        Ok(answer) => answer,
        Err(reason) => return Reading::error(reason, &threshold),
    };
    let Some(worst) = answer.worst(gate) else {
        return Reading::no_data("the query gave no element", &threshold);
    };
    if let Some(reading) = stale(gate, &answer, &threshold).await {
        return reading;
    }
    judged(gate, &answer, worst, &threshold)
}

pub fn threshold(gate: &PrometheusGate) -> String {
    limits(gate.min, gate.max)
}

pub fn describe(gate: &PrometheusGate) -> Vec<String> {
    let at = format!("GET {}/api/v1/query", secret::mask(gate.url.trim_end_matches('/')));
    let samples = gate.samples.as_ref().unwrap_or(&gate.query);
    vec![format!("{at} query={}", gate.query), format!("{at} query=timestamp({samples})")]
}

fn judged(gate: &PrometheusGate, answer: &Answer, worst: &Element, threshold: &str) -> Reading {
    if !answer.warnings.is_empty() {
        // It may have left out what it could not reach.
        let why = format!("the answer may not be whole: {}", answer.warnings.join("; "));
        return Reading::no_data(secret::mask(&why), threshold);
    }
    if !worst.value.is_finite() {
        return Reading::no_data(format!("{} is {}", worst.name(), worst.value), threshold);
    }
    let reading = Reading::known(within(gate, worst.value), figure(worst.value), threshold).number(worst.value);
    match answer.elements.len() {
        1 => reading,
        many => reading.detail(format!("the worst of {many}: {}", worst.name())),
    }
}

fn within(gate: &PrometheusGate, value: f64) -> bool {
    gate.min.is_none_or(|min| value >= min) && gate.max.is_none_or(|max| value <= max)
}

/// Why the samples behind an answer can't be believed; nothing when they can.
async fn stale(gate: &PrometheusGate, answer: &Answer, threshold: &str) -> Option<Reading> {
    let samples = match &gate.samples {
        Some(samples) => samples,
        None if answer.is_vector => &gate.query,
        None => return None,
    };
    let evaluated = answer.elements.first()?.at;
    let times = match ask(gate, &format!("timestamp({samples})"), Some(evaluated)).await {
        Ok(times) => times,
        Err(reason) => return Some(Reading::error(format!("times of {samples}: {reason}"), threshold)),
    };
    let oldest = times.elements.iter().map(|element| element.value).min_by(f64::total_cmp);
    let limit = gate.max_age;
    match oldest.map(|oldest| evaluated - oldest) {
        None => Some(Reading::no_data(format!("{samples} has no sample within {limit}"), threshold)),
        Some(age) if age <= limit.0.as_secs_f64() => None,
        Some(age) => {
            let why = format!("a sample of {samples} is {} old, more than {limit}", seconds(age));
            Some(Reading::no_data(why, threshold))
        }
    }
}

/// One element of an answer; a scalar has no labels.
#[derive(Debug, PartialEq)]
struct Element {
    labels: BTreeMap<String, String>,
    at: f64,
    value: f64,
}

impl Element {
    fn name(&self) -> String {
        let mut labels = self.labels.clone();
        let name = labels.remove("__name__").unwrap_or_default();
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
        if name.is_empty() && labels.is_empty() { "it".into() } else { format!("{name}{{{}}}", labels.join(",")) }
    }
}

#[derive(Debug, PartialEq)]
struct Answer {
    elements: Vec<Element>,
    is_vector: bool,
    warnings: Vec<String>,
}

impl Answer {
    /// The element that is farthest from passing: one that is not a number first, then one out of its limits.
    fn worst(&self, gate: &PrometheusGate) -> Option<&Element> {
        let excess = |element: &&Element| {
            let over = gate.max.map_or(f64::NEG_INFINITY, |max| element.value - max);
            let under = gate.min.map_or(f64::NEG_INFINITY, |min| min - element.value);
            if element.value.is_finite() { over.max(under) } else { f64::INFINITY }
        };
        self.elements.iter().max_by(|one, other| excess(one).total_cmp(&excess(other)))
    }
}

async fn ask(gate: &PrometheusGate, query: &str, at: Option<f64>) -> Result<Answer, String> {
    let base = secret::remote::fresh(&gate.url).await.map_err(|error| error.to_string())?;
    let url = address(base.expose(), query, at)?;
    let mut headers = Vec::new();
    for (name, value) in &gate.headers {
        headers.push((name.as_str(), secret::remote::fresh(value).await.map_err(|error| error.to_string())?));
    }
    let (status, body) = http::fetch(url.as_str(), &headers).await?;
    read(status, &body)
}

fn address(base: &str, query: &str, at: Option<f64>) -> Result<Url, String> {
    let mut url = Url::parse(base).map_err(|_| "its url is not http://host:port".to_owned())?;
    let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.query_pairs_mut().append_pair("query", query);
    if let Some(at) = at {
        url.query_pairs_mut().append_pair("time", &at.to_string());
    }
    Ok(url)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    data: Option<Data>,
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

#[derive(Deserialize)]
struct Row {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
}

fn read(status: u16, body: &str) -> Result<Answer, String> {
    let envelope: Option<Envelope> = serde_json::from_str(body).ok();
    let envelope = match envelope {
        Some(envelope) if status == 200 => envelope,
        Some(Envelope { error: Some(error), error_type, .. }) => {
            return Err(format!("it answers {status}: {}: {error}", error_type.unwrap_or_default()));
        }
        _ if matches!(status, 401 | 403) => return Err(format!("it answers {status}: look at the gate's `headers`")),
        _ => return Err(format!("it answers {status}, and not as Prometheus does")),
    };
    let data = envelope.data.ok_or("its answer has no data")?;
    let unreadable = |error: serde_json::Error| format!("its answer can't be read: {error}");
    let elements = match data.result_type.as_str() {
        "scalar" => vec![element(BTreeMap::new(), serde_json::from_value(data.result).map_err(unreadable)?)?],
        "vector" => {
            let rows: Vec<Row> = serde_json::from_value(data.result).map_err(unreadable)?;
            rows.into_iter().map(of_row).collect::<Result<_, _>>()?
        }
        other => return Err(format!("the query gives a {other}; a number or an instant vector is wanted")),
    };
    Ok(Answer { elements, is_vector: data.result_type == "vector", warnings: envelope.warnings })
}

fn of_row(row: Row) -> Result<Element, String> {
    let value = row.value.ok_or("the query gives a histogram; ask for a number, such as its quantile")?;
    element(row.metric, value)
}

fn element(labels: BTreeMap<String, String>, (at, text): (f64, String)) -> Result<Element, String> {
    let value = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    Ok(Element { labels, at, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(min: Option<f64>, max: Option<f64>) -> PrometheusGate {
        let shape = serde_json::json!({ "url": "http://p:9090/tenant/", "query": "up", "min": min, "max": max });
        serde_json::from_value(shape).unwrap()
    }

    fn vector(values: &[(&str, &str)]) -> Answer {
        let rows: Vec<Value> = values
            .iter()
            .map(|(job, value)| serde_json::json!({ "metric": { "job": job }, "value": [1000.5, value] }))
            .collect();
        let data = serde_json::json!({ "data": { "resultType": "vector", "result": rows } });
        read(200, &data.to_string()).unwrap()
    }

    fn verdict(gate: &PrometheusGate, answer: &Answer) -> super::super::Verdict {
        judged(gate, answer, answer.worst(gate).unwrap(), "").verdict
    }

    #[test]
    fn the_worst_element_decides() {
        use super::super::Verdict::{Fail, NoData, Pass};
        let both = gate(Some(1.0), Some(2.0));
        assert_eq!(verdict(&both, &vector(&[("a", "1"), ("b", "2")])), Pass);
        assert_eq!(verdict(&both, &vector(&[("a", "1"), ("b", "2.1")])), Fail);
        assert_eq!(verdict(&both, &vector(&[("a", "0.9"), ("b", "2")])), Fail);
        for odd in ["NaN", "+Inf", "-Inf"] {
            let answer = vector(&[("a", "99"), ("b", odd), ("c", "1")]);
            assert_eq!(verdict(&gate(None, Some(5.0)), &answer), NoData, "{odd} hides nothing and passes nothing");
        }
        assert_eq!(vector(&[]).worst(&both), None);
        let answer = vector(&[("a", "7"), ("b", "9")]);
        let reading = judged(&gate(None, Some(1.0)), &answer, answer.worst(&gate(None, Some(1.0))).unwrap(), "");
        assert_eq!(reading.detail.as_deref(), Some("the worst of 2: {job=\"b\"}"));
    }

    #[test]
    fn an_answer_with_warnings_is_not_whole() {
        let body = r#"{"data":{"resultType":"scalar","result":[1,"0"]},"warnings":["store b did not answer"]}"#;
        let answer = read(200, body).unwrap();
        assert_eq!(verdict(&gate(None, Some(1.0)), &answer), super::super::Verdict::NoData);
    }

    #[test]
    fn what_is_not_an_answer_says_what_it_is() {
        let told = |status, body: &str| read(status, body).unwrap_err();
        let bad = r#"{"status":"error","errorType":"bad_data","error":"1:5: parse error: unexpected end"}"#;
        assert_eq!(told(400, bad), "it answers 400: bad_data: 1:5: parse error: unexpected end");
        assert!(told(401, "Unauthorized").contains("`headers`"));
        assert!(told(502, "<html>").contains("502"));
        assert!(told(200, "<html>").contains("not as Prometheus does"));
        let matrix = r#"{"data":{"resultType":"matrix","result":[]}}"#;
        assert!(told(200, matrix).contains("gives a matrix"));
        let histogram = r#"{"data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}"#;
        assert!(told(200, histogram).contains("gives a histogram"));
    }

    #[test]
    fn the_address_keeps_prefix_and_parameters() {
        let url = address("http://u:p@h/prom/?dedup=true", "a{b=\"c\"}", Some(1.5)).unwrap();
        assert_eq!(url.as_str(), "http://u:p@h/prom/api/v1/query?dedup=true&query=a%7Bb%3D%22c%22%7D&time=1.5");
    }
}

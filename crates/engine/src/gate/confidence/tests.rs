use super::*;

fn said(arguments: &str) -> (String, Sureness) {
    let (rest, sure) = strip(arguments);
    (rest.into_owned(), sure)
}

#[test]
fn what_the_model_says_beside_is_taken_out_and_the_rest_stays_byte_for_byte() {
    let (rest, sure) = said(r#"{"amount":1.50e2 ,"stead_confidence":0.75,"note":"a\u00e4","stead_risk":"high"}"#);
    assert_eq!(rest, r#"{"amount":1.50e2,"note":"a\u00e4"}"#);
    assert_eq!(sure, Sureness { confidence: Confidence::new(0.75), risk: Some(Risk::High), stripped: true });
    let (rest, sure) = said(r#"{"stead_confidence":1}"#);
    assert_eq!((rest.as_str(), sure.confidence), ("{}", Confidence::new(1.0)));
}

#[test]
fn what_says_nothing_is_not_touched() {
    for arguments in [r#"{ "amount" : 1 }"#, r#"{"note":"stead_confidence"}"#, "[]", "not JSON stead_"] {
        let (rest, sure) = said(arguments);
        assert_eq!((rest.as_str(), sure), (arguments, Sureness::default()));
    }
}

#[test]
fn the_lowest_confidence_counts_and_what_is_none_counts_as_none() {
    let confidence = |arguments: &str| said(arguments).1.confidence;
    assert_eq!(confidence(r#"{"stead_confidence":0.9,"stead_confidence":0.2}"#), Confidence::new(0.2));
    assert_eq!(confidence(r#"{"stead_confidence":0.2,"stead_confidence":0.9}"#), Confidence::new(0.2));
    for none in ["2", "-1", "\"1\"", "null", "1e999", "[1]"] {
        assert_eq!(confidence(&format!(r#"{{"stead_confidence":{none}}}"#)), None, "{none}");
        assert_eq!(confidence(&format!(r#"{{"stead_confidence":{none},"stead_confidence":1}}"#)), None, "{none}");
        assert_eq!(confidence(&format!(r#"{{"stead_confidence":1,"stead_confidence":{none}}}"#)), None, "{none}");
    }
    assert_eq!(said(r#"{"stead_risk":"none at all"}"#).1.risk, Some(Risk::Critical));
    assert_eq!(said(r#"{"stead_risk":"normal","stead_risk":"critical"}"#).1.risk, Some(Risk::Critical));
}

#[test]
fn an_escaped_name_is_the_same_name() {
    let (rest, sure) = said(r#"{"stead_\u0063onfidence":0.5,"a":1}"#);
    assert_eq!((rest.as_str(), sure.confidence), (r#"{"a":1}"#, Confidence::new(0.5)));
}

#[test]
fn the_offered_schema_has_both_and_keeps_what_was_there() {
    let schema = offered(json!({ "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] }));
    assert_eq!(schema["required"], json!(["a"]));
    for name in ["a", CONFIDENCE, RISK] {
        assert!(schema["properties"][name].is_object(), "{name}");
    }
}

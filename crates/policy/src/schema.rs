//! The Cedar schema of a world: what policies are type-checked against when they are applied.

use cedar_policy::{Schema, SchemaFragment};
use serde_json::{Map, Value, json};

use crate::{
    edge::{APPROVALS, Attribute, COMMON, ENTITIES, Edge, GRANT, Kind, OPERATE, TOOLS},
    history::{Counter, Measure},
    problem::Problem,
    provenance::Provenance,
    shape::{Field, Fields, Shape},
    tool::World,
};

impl World {
    /// The schema.
    ///
    /// # Errors
    /// Names of arguments that Cedar cannot have, such as `__cedar::x`.
    pub(crate) fn schema(&self) -> Result<Schema, Problem> {
        Schema::from_json_value(self.written()).map_err(refused)
    }

    /// The schema as Cedar's own text, to read and for editors.
    ///
    /// # Errors
    /// As when policies are applied.
    pub fn schema_text(&self) -> Result<String, Problem> {
        let fragment = SchemaFragment::from_json_value(self.written()).map_err(refused)?;
        fragment.to_cedarschema().map_err(|e| Problem::whole("the schema", e.to_string()))
    }

    fn written(&self) -> Value {
        let mut actions = Map::new();
        for group in [TOOLS, OPERATE] {
            actions.insert(group.to_owned(), json!({}));
        }
        for edge in Edge::ALL.into_iter().filter(|edge| *edge != Edge::CallTool) {
            let group = edge.is_operators().then_some(OPERATE);
            actions.insert(edge.name().to_owned(), self.action(edge, group, None));
        }
        for tool in self.tools.values() {
            actions.insert(tool.name.clone(), self.action(Edge::CallTool, Some(TOOLS), Some(&tool.arguments)));
        }
        let types: Map<String, Value> = ENTITIES
            .iter()
            .map(|(name, above, attributes)| {
                let shape = record(attributes.iter().map(attribute));
                ((*name).to_owned(), json!({ "memberOfTypes": above, "shape": shape }))
            })
            .collect();
        json!({ "": { "entityTypes": types, "actions": actions } })
    }

    fn action(&self, edge: Edge, group: Option<&str>, arguments: Option<&Fields>) -> Value {
        let mut context: Vec<(String, Value)> = COMMON.iter().chain(edge.attributes()).map(attribute).collect();
        context.push(("approvals".to_owned(), required(record(APPROVALS.iter().map(attribute)), true)));
        context.push(("history".to_owned(), required(record(self.counters.iter().map(counter)), true)));
        if !edge.is_operators() {
            context.push(("grant".to_owned(), required(record(GRANT.iter().map(attribute)), false)));
        }
        if let Some(fields) = arguments {
            let speakers = fields.keys().map(|name| (name.clone(), required(Provenance::schema(), false)));
            context.push(("provenance".to_owned(), required(record(speakers), true)));
            context.push(("args".to_owned(), required(record(fields.iter().map(argument)), true)));
            context.push(("unseen".to_owned(), required(kind(Kind::Bool), true)));
        }
        let member_of: Vec<Value> = group.iter().map(|group| json!({ "id": group })).collect();
        let who = if edge.is_operators() { "User" } else { "Run" };
        json!({
            "memberOf": member_of,
            "appliesTo": {
                "principalTypes": [who],
                "resourceTypes": edge.resources(),
                "context": record(context),
            },
        })
    }
}

fn refused(error: cedar_policy::SchemaError) -> Problem {
    Problem::whole("the schema of the tools", error.to_string())
        .hint("an argument's name is not one that policies can have; rename it in the tool's schema")
}

fn record(attributes: impl IntoIterator<Item = (String, Value)>) -> Value {
    json!({ "type": "Record", "attributes": attributes.into_iter().collect::<Map<_, _>>() })
}

fn required(mut of: Value, required: bool) -> Value {
    of["required"] = required.into();
    of
}

fn attribute((name, of, always): &Attribute) -> (String, Value) {
    ((*name).to_owned(), required(kind(*of), *always))
}

fn kind(of: Kind) -> Value {
    match of {
        Kind::Bool => json!({ "type": "Boolean" }),
        Kind::Long => json!({ "type": "Long" }),
        Kind::Decimal => json!({ "type": "Extension", "name": "decimal" }),
        Kind::Text => json!({ "type": "String" }),
        Kind::Datetime => json!({ "type": "Extension", "name": "datetime" }),
        Kind::Texts => json!({ "type": "Set", "element": kind(Kind::Text) }),
        Kind::Entity(name) => json!({ "type": "Entity", "name": name }),
        Kind::Entities(name) => json!({ "type": "Set", "element": { "type": "Entity", "name": name } }),
    }
}

fn argument((name, field): (&String, &Field)) -> (String, Value) {
    (name.clone(), required(shape(&field.shape), field.required))
}

fn shape(of: &Shape) -> Value {
    match of {
        Shape::Bool => kind(Kind::Bool),
        Shape::Long => kind(Kind::Long),
        Shape::Decimal => kind(Kind::Decimal),
        Shape::Text => kind(Kind::Text),
        Shape::Set(element) => json!({ "type": "Set", "element": shape(element) }),
        Shape::Record(fields) => record(fields.iter().map(argument)),
    }
}

fn counter((name, counter): (&String, &Counter)) -> (String, Value) {
    let of = match counter.measure {
        Measure::Count | Measure::Sum { decimal: false, .. } => Kind::Long,
        Measure::Sum { decimal: true, .. } => Kind::Decimal,
        Measure::Seen { .. } => Kind::Bool,
        Measure::Last => Kind::Text,
    };
    (name.clone(), required(kind(of), true))
}

//! agent.yaml: parsing with located errors, its JSON Schema, its digest and bundle of files

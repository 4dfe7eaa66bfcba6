//! `run-deployment`: starts a run of a deployment.

use super::target::{Parts, Target, TargetKind};
use crate::hydrate;
use crate::shape::put_or_null;
use pavlov_events::Reader;
use serde_json::{Map, Number, Value};

/// Starts a run of a deployment with parameters made from templates.
///
/// ```json
/// {"type": "run-deployment", "source": "selected", "deployment_id": "0199a5c0-0000-7000-8000-000000000000",
///  "parameters": {"host": "{{ event.resource.id }}"}, "job_variables": null, "schedule_after": 0.0}
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RunDeployment {
    /// The deployment.
    pub target: Target,
    /// Parameters: JSON with templates and `__prefect_kind` placeholders; none = the deployment's own.
    pub parameters: Option<Map<String, Value>>,
    /// Job variables, as they are; none = the deployment's own.
    pub job_variables: Option<Map<String, Value>>,
    /// How long after the firing the run is to start, in microseconds, at least 0.
    pub schedule_after_micros: i64,
}

impl RunDeployment {
    const KIND: TargetKind = TargetKind::Deployment;

    /// Reads the fields.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let target = Parts::read(reader, Self::KIND);
        let parameters = reader.nullable("parameters", read_parameters);
        let job_variables = reader.nullable("job_variables", |r| r.dict().cloned());
        let schedule_after = reader.optional("schedule_after", |r| {
            let micros = r.duration_micros()?;
            if micros < 0 {
                r.value_error("schedule_after must be non-negative");
                return None;
            }
            Some(micros)
        });
        let (parameters, job_variables) = (parameters?, job_variables?);
        let schedule_after_micros = schedule_after?.unwrap_or(0);
        let target = target?.finish(reader, Self::KIND)?;
        Some(Self { target, parameters, job_variables, schedule_after_micros })
    }

    /// Adds the fields.
    pub fn write(&self, out: &mut Map<String, Value>) {
        self.target.write(Self::KIND, out);
        put_or_null(out, "parameters", &self.parameters);
        put_or_null(out, "job_variables", &self.job_variables);
        let seconds = Number::from_f64(self.schedule_after_micros as f64 / 1e6);
        out.insert("schedule_after".into(), seconds.map_or(Value::Null, Value::Number));
    }
}

fn read_parameters(reader: &mut Reader<'_>) -> Option<Map<String, Value>> {
    let parameters = reader.dict()?;
    match hydrate::check(parameters) {
        Ok(()) => Some(parameters.clone()),
        Err(problems) => {
            let lines: Vec<String> = problems
                .iter()
                .map(|(path, message)| format!("{path}{} {message}", if path.is_empty() { "" } else { ":" }))
                .collect();
            reader.value_error(format_args!("Invalid parameters: \n{}", lines.join("\n  ")));
            None
        }
    }
}

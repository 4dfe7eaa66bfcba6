"""Fills in the parameters of `cases.json` with the genuine package and writes `answers.json`."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "templates"))
from prefect.server.events.actions import RunDeployment
from prefect.server.events.jinja_filters import all_filters
from prefect.server.events.schemas.events import ReceivedEvent
from prefect.server.utilities import user_templates
from prefect.utilities.schema_tools.hydration import HydrationContext, hydrate

HERE = pathlib.Path(__file__).parent
user_templates.register_user_template_filters(all_filters)
event = ReceivedEvent.model_validate(json.loads((HERE.parent / "templates" / "event.json").read_text()))
answers = []
for case in json.loads((HERE / "cases.json").read_text()):
    parameters = json.loads(json.dumps(case["parameters"]))
    RunDeployment._upgrade_v1_templates(parameters)
    context = HydrationContext(
        raise_on_error=True,
        render_jinja=True,
        jinja_context={"event": event},
        render_workspace_variables=True,
        workspace_variables={"region": "eu"},
    )
    try:
        case["filled"] = hydrate(parameters, context)
    except Exception as error:
        case["error"] = str(error)
    answers.append(case)
(HERE / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")

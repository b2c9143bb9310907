//! The models under `models/families`, made again by their exporters.

use crate::context::{Context, Failure, Outcome, Stamp, run};
use crate::steps::oracle;

/// A group of models: its script and what that needs, under `models/families`.
struct Group {
    name: &'static str,
    script: &'static str,
    requirements: &'static str,
}

const GROUPS: [Group; 2] = [
    Group { name: "sklearn", script: "make_sklearn.py", requirements: "requirements-sklearn.txt" },
    // PyTorch and JAX: some 5 GB.
    Group {
        name: "networks",
        script: "make_families.py",
        requirements: "requirements-families.txt",
    },
];

/// Makes the models of all groups again, or of the one that is named.
pub(crate) fn make(context: &Context, only: Option<&str>) -> Outcome {
    let wanted = |group: &&Group| only.is_none_or(|name| name == group.name);
    let groups: Vec<&Group> = GROUPS.iter().filter(wanted).collect();
    if groups.is_empty() {
        let names = GROUPS.map(|group| group.name).join(", ");
        return Err(Failure::new(format!("there is no such group of models; there are {names}")));
    }
    for group in groups {
        println!("== models: {}", group.name);
        let folder = context.root.join("models/families");
        let python = environment(context, group)?;
        run(
            context.command(python).arg(folder.join(group.script)),
            "the models were not made; what the script says above is why",
        )?;
    }
    Ok(())
}

/// The Python of the group's environment, which is made where it is missing or out of date.
fn environment(context: &Context, group: &Group) -> Outcome<std::path::PathBuf> {
    let requirements = context.root.join("models/families").join(group.requirements);
    let venv = context.oracle.join(format!("models-{}", group.name));
    let python = venv.join("bin/python");
    let stamp = context.oracle.join(format!("models-{}.stamp", group.name));
    let stamp = Stamp::new(stamp, std::slice::from_ref(&requirements))?;
    if stamp.is_current() && python.exists() {
        return Ok(python);
    }
    stamp.clear();
    oracle::environment(context, &venv, &[], &requirements)?;
    stamp.set()?;
    Ok(python)
}

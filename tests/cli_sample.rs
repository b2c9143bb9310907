//! What `nowcast sample` draws, writes and refuses.
#![cfg(feature = "cli")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use npyz::WriterBuilder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::Value;

/// A folder of a test's own, with the files that the tests share.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sample-{name}"));
        fs::create_dir_all(&folder).expect("a folder");
        let folder = Self(folder);
        for (name, content) in [
            ("mean.csv", "10,-1\n"),
            ("covariance.csv", "4,1.2\n1.2,1\n"),
            ("variances.csv", "4,1\n"),
            ("loadings.csv", "1.5\n-0.5\n"),
            ("weights.csv", "3,1\n"),
            ("means.csv", "x0,x1\n0,0\n4,1\n"),
            ("two-variances.csv", "1,1\n0.25,4\n"),
            // The second dimension is twice the first.
            ("singular.csv", "1,2\n2,4\n"),
            ("three.csv", "2,0.5,0.3\n0.5,1,-0.4\n0.3,-0.4,1.5\n"),
        ] {
            fs::write(folder.0.join(name), content).expect("written");
        }
        folder.npy("two-covariances.npy", &[2, 2, 2], &[1.0, 0.5, 0.5, 1.0, 2.0, -1.0, -1.0, 1.0]);
        folder.npy("two-loadings.npy", &[2, 2, 1], &[1.0, 0.5, -1.0, 2.0]);
        folder
    }

    fn npy(&self, name: &str, shape: &[u64], elements: &[f64]) {
        let mut bytes = Vec::new();
        let options = npyz::WriteOptions::<f64>::new().default_dtype().shape(shape);
        let mut writer = options.writer(&mut bytes).begin_nd().expect("a header");
        writer.extend(elements.iter().copied()).expect("elements");
        writer.finish().expect("whole");
        fs::write(self.0.join(name), bytes).expect("written");
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nowcast"));
        command.current_dir(&self.0).arg("sample").args(args.split_whitespace());
        command
    }

    fn run(&self, args: &str) -> Output {
        self.command(args).output().expect("runs")
    }

    fn json(&self, args: &str) -> Value {
        let output = self.run(&format!("{args} --json"));
        assert!(output.status.success(), "{args}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).expect("there")
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).expect("text")
    }

    /// The user is told in one line, and nothing is printed.
    fn refused(&self, args: &str, expected: &str) {
        let output = self.run(args);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args}: {error}");
        assert!(error.contains(expected), "{args}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(output.stdout.is_empty());
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn close(got: &Value, expected: &[f64]) {
    let got = numbers(got);
    let same = got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
    assert!(got.len() == expected.len() && same, "{got:?} is not {expected:?}");
}

const MIXTURE: &str = "--weights weights.csv --mean means.csv --covariance";

/// Arguments, family, and the moments that follow from them by hand.
fn families() -> Vec<(String, &'static str, [f64; 2], [f64; 2])> {
    let of = |args: &str| args.to_owned();
    // Of the mixtures: mean 3/4 * 0 + 1/4 * 4, and 3/16 of the squared distance between means.
    let mixed = |args: &str| format!("{MIXTURE} {args}");
    let between = [16.0 * 3.0 / 16.0, 3.0 / 16.0];
    vec![
        (of("--mean mean.csv --covariance covariance.csv"), "full", [10.0, -1.0], [4.0, 1.0]),
        (of("--covariance variances.csv"), "diagonal", [0.0, 0.0], [4.0, 1.0]),
        (
            of("--mean mean.csv --covariance variances.csv --loadings loadings.csv"),
            "low-rank",
            [10.0, -1.0],
            [4.0 + 2.25, 1.0 + 0.25],
        ),
        (
            mixed("two-variances.csv"),
            "mixture",
            [1.0, 0.25],
            [0.75 + 0.0625 + between[0], 0.75 + 1.0 + between[1]],
        ),
        (
            mixed("two-covariances.npy"),
            "mixture",
            [1.0, 0.25],
            [0.75 + 0.5 + between[0], 1.0 + between[1]],
        ),
        (
            mixed("two-variances.csv --loadings two-loadings.npy"),
            "mixture",
            [1.0, 0.25],
            [0.8125 + 1.0 + between[0], 1.75 + 0.75 * 0.25 + 1.0 + between[1]],
        ),
        (of("--covariance singular.csv --on-singular semidefinite"), "full", [0.0; 2], [1.0, 4.0]),
        (of("--covariance singular.csv --on-singular 0.25"), "full", [0.0; 2], [1.25, 4.25]),
    ]
}

/// The check's own bound is one false alarm in a million draws; the seed is fixed.
#[test]
fn every_family_passes_its_check() {
    let folder = Folder::new("families");
    for (args, family, mean, variance) in families() {
        for more in [
            "--paths 20000",
            "--paths 20000 --precision f64",
            "--paths 20000 --scheme antithetic",
            "--paths 16384 --scheme sobol",
            "--paths 20001 --scheme antithetic --seed 5",
        ] {
            let report = folder.json(&format!("{args} --check {more}"));
            assert_eq!((&report["family"], &report["dim"]), (&family.into(), &2.into()), "{args}");
            close(&report["asked_mean"], &mean);
            close(&report["asked_std"], &variance.map(f64::sqrt));
            let check = &report["check"];
            assert_eq!(check["passed"], true, "{args} {more}: {check}");
            // Two means, two deviations, a correlation.
            assert_eq!(check["comparisons"], 5, "{args}");
            assert!(check["limit_standard_errors"].as_f64() > Some(5.0), "{check}");
            assert_eq!(check["correlation"][0]["of"], Value::from(vec![1, 0]));
        }
    }
}

#[test]
fn a_check_is_a_table_for_people() {
    let folder = Folder::new("table");
    let output = folder.run("--mean mean.csv --covariance covariance.csv --check --paths 500");
    let text = text(&output.stdout);
    assert!(output.status.success());
    let row = |name: &str| text.lines().find(|line| line.starts_with(name)).expect(name);
    assert!(row("x0").contains(" 10.0000 ") && row("x1").contains(" x0 "), "{text}");
    assert!(text.contains("Check passed: of 5 differences the largest is"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
}

/// Single precision cannot tell what is left of the second dimension given the first; the third
/// depends on that. The check says so, and that double precision can.
#[test]
fn a_check_fails_where_the_draw_is_not_what_was_asked_for() {
    let folder = Folder::new("fails");
    folder.npy("near.npy", &[3, 3], &[1.0, 0.7, 0.0, 0.7, 0.49 + 1e-8, 0.8e-4, 0.0, 0.8e-4, 1.0]);
    let args = "--covariance near.npy --given 0=1000,1=700.00005 --paths 20000 --check --json";
    let output = folder.run(args);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let error = text(&output.stderr);
    assert!(
        error.starts_with("nowcast: the check fails: 1 of 2 differences are too large"),
        "{error}"
    );
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON all the same");
    assert_eq!(report["check"]["passed"], false);
    let report = folder.json(&format!("{args} --precision f64").replace(" --json", ""));
    assert_eq!(report["check"]["passed"], true, "{report}");
    assert!((numbers(&report["asked_mean"])[0] - 0.4).abs() < 1e-4);
}

/// A row of a Parquet file as numbers.
fn row(row: Row) -> Vec<f64> {
    let number = |(_, field): (&String, &Field)| match field {
        Field::Float(x) => f64::from(*x),
        Field::Double(x) => *x,
        other => panic!("{other}"),
    };
    row.get_column_iter().map(number).collect()
}

fn npy(bytes: &[u8]) -> (Vec<u64>, Vec<f64>) {
    let file = npyz::NpyFile::new(bytes).expect("an array");
    let shape = file.shape().to_vec();
    match file.try_data::<f32>() {
        Ok(data) => (shape, data.map(|x| f64::from(x.expect("whole"))).collect()),
        Err(file) => (shape, file.into_vec::<f64>().expect("f64")),
    }
}

#[test]
fn every_format_has_the_same_paths() {
    let folder = Folder::new("formats");
    for precision in ["f32", "f64"] {
        for format in ["npy", "csv", "parquet"] {
            let report = folder.json(&format!(
                "--mean mean.csv --covariance covariance.csv --paths 7 --seed 3 --out out.{format} \
                 --precision {precision}"
            ));
            assert_eq!(report["out"], format!("out.{format}"));
            assert_eq!(report["precision"], precision);
        }
        let (shape, elements) = npy(&folder.read("out.npy"));
        assert_eq!(shape, [7, 2]);
        let csv = folder.text("out.csv");
        assert_eq!(csv.lines().next(), Some("x0,x1"));
        let fields = csv.lines().skip(1).flat_map(|line| line.split(','));
        let fields: Vec<f64> = match precision {
            "f32" => fields.map(|x| x.parse::<f32>().expect("a number").into()).collect(),
            _ => fields.map(|x| x.parse().expect("a number")).collect(),
        };
        assert_eq!(fields, elements);
        let file = fs::File::open(folder.0.join("out.parquet")).expect("there");
        let reader = SerializedFileReader::new(file).expect("Parquet");
        let columns = reader.metadata().file_metadata().schema_descr().columns().to_vec();
        let expected = if precision == "f32" { "FLOAT" } else { "DOUBLE" };
        assert_eq!(columns.iter().map(|c| c.name()).collect::<Vec<_>>(), ["x0", "x1"]);
        assert!(columns.iter().all(|c| c.physical_type().to_string() == expected));
        let rows = reader.get_row_iter(None).expect("rows");
        let rows: Vec<f64> = rows.flat_map(|r| row(r.expect("a row"))).collect();
        assert_eq!(rows, elements);
    }
    // What was written can be asked for: a line of names is left out.
    folder.refused("--covariance out.csv", "out.csv: the shape is [7, 2]");
}

#[test]
fn long_parquet_files_have_several_row_groups() {
    let folder = Folder::new("groups");
    fs::write(folder.0.join("four.csv"), "1,2,3,4\n").expect("written");
    let paths = 1_100_000;
    for format in ["parquet", "npy"] {
        folder.json(&format!("--covariance four.csv --paths {paths} --out out.{format}"));
    }
    let file = fs::File::open(folder.0.join("out.parquet")).expect("there");
    let reader = SerializedFileReader::new(file).expect("Parquet");
    assert_eq!(reader.metadata().file_metadata().num_rows(), paths);
    assert_eq!(reader.num_row_groups(), 2);
    let last = reader.get_row_group(1).expect("two");
    let rows: Vec<f64> =
        last.get_row_iter(None).expect("rows").flat_map(|r| row(r.expect("a row"))).collect();
    let (_, elements) = npy(&folder.read("out.npy"));
    assert_eq!(rows, elements[elements.len() - rows.len()..]);
    for name in ["out.parquet", "out.npy"] {
        fs::remove_file(folder.0.join(name)).expect("removed");
    }
}

#[test]
fn known_dimensions_are_left_out() {
    let folder = Folder::new("given");
    let args = "--covariance three.csv --given 1=2";
    for format in ["csv", "parquet"] {
        let report = folder.json(&format!("{args} --check --paths 20000 --out out.{format}"));
        assert_eq!(report["check"]["passed"], true, "{report}");
        assert_eq!(report["indices"], Value::from(vec![0, 2]));
        assert_eq!(report["given"], serde_json::json!([{ "index": 1, "value": 2.0 }]));
        assert_eq!(report["check"]["correlation"][0]["of"], Value::from(vec![2, 0]));
        // By the normal equations: 0.5 / 1 * 2, and 2 - 0.5^2 / 1.
        close(&report["asked_mean"], &[1.0, -0.8]);
        close(&report["asked_std"], &[1.75f64.sqrt(), 1.34f64.sqrt()]);
    }
    let csv = folder.text("out.csv");
    assert_eq!((csv.lines().next(), csv.lines().count()), (Some("x0,x2"), 20_001));
    let file = fs::File::open(folder.0.join("out.parquet")).expect("there");
    let reader = SerializedFileReader::new(file).expect("Parquet");
    let columns = reader.metadata().file_metadata().schema_descr().columns().to_vec();
    assert_eq!(columns.iter().map(|c| c.name()).collect::<Vec<_>>(), ["x0", "x2"]);
    let printed = folder.run(&format!("{args} --paths 10"));
    assert!(text(&printed.stdout).contains("given x1 = 2; drawn: x0, x2\n"));

    // A list is as good as several options; every family can be conditioned.
    let both = folder.json("--covariance three.csv --given 0=1,x2=-1");
    assert_eq!(both, {
        let mut again = folder.json("--covariance three.csv --given 0=1 --given 2=-1");
        again["draw_ns"] = both["draw_ns"].clone();
        again
    });
    for (args, ..) in families() {
        if args.contains("singular") {
            continue;
        }
        let report = folder.json(&format!("{args} --given 0=2.5 --check --paths 20000"));
        assert_eq!(report["check"]["passed"], true, "{args}: {report}");
        assert_eq!(report["dim"], 1);
    }
    let report = folder.json("--covariance singular.csv --on-singular semidefinite --given 0=3");
    close(&report["mean"], &[6.0]);
    close(&report["std"], &[0.0]);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let folder = Folder::new("seeds");
    for format in ["npy", "csv", "parquet"] {
        let bytes = |args: &str| {
            folder.json(&format!("--covariance covariance.csv --paths 50 --out a.{format} {args}"));
            folder.read(&format!("a.{format}"))
        };
        let first = bytes("--seed 7");
        assert_eq!(first, bytes("--seed 7"));
        assert_ne!(first, bytes("--seed 8"));
        assert_ne!(first, bytes("--seed 7 --stream 1"));
        assert_ne!(first, bytes("--seed 7 --scheme antithetic"));
    }
}

#[test]
fn pairs_mirror_each_other() {
    let folder = Folder::new("pairs");
    folder.json("--covariance covariance.csv --paths 8 --scheme antithetic --out out.npy");
    let (_, elements) = npy(&folder.read("out.npy"));
    for pair in elements.chunks_exact(4) {
        assert_eq!([pair[0], pair[1]], [-pair[2], -pair[3]]);
    }
}

/// In each sixteenth of the distribution there are as many of the points, in every dimension.
#[test]
fn sobol_points_are_spread_evenly() {
    let folder = Folder::new("sobol");
    folder.json("--covariance variances.csv --paths 1024 --scheme sobol --out out.npy");
    let (_, elements) = npy(&folder.read("out.npy"));
    // `scipy.stats.norm.ppf(0.0625 * 7)`: seven of sixteen parts are below.
    for (dim, std) in [2.0, 1.0].into_iter().enumerate() {
        let values = elements.iter().skip(dim).step_by(2);
        let below = values.filter(|x| **x < -0.157_310_684_610_170_7 * std).count();
        assert_eq!(below, 7 * 64);
    }
    folder.npy("many.npy", &[1112], &[1.0; 1112]);
    folder.refused("--covariance many.npy --scheme sobol", "1111 dimensions at most: choose");
}

#[test]
fn arrays_come_from_standard_input() {
    let folder = Folder::new("stdin");
    let mut child = folder
        .command("--mean mean.csv --covariance - --json")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    child.stdin.take().expect("piped").write_all(b"9,0\n0,1\n").expect("read");
    let output = child.wait_with_output().expect("ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    close(&report["asked_std"], &[3.0, 1.0]);
    folder.refused("--mean - --covariance -", "standard input is one array: name files");
}

#[test]
fn plots_show_what_was_drawn_and_asked_for() {
    let folder = Folder::new("plots");
    let plot = |args: &str| {
        folder.json(&format!("{args} --plot plot.svg"));
        let svg = folder.text("plot.svg");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{args}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{args}");
        svg
    };
    let fan = plot("--covariance three.csv");
    // Two bands, sixteen paths, four quantiles, the mean.
    assert_eq!(fan.matches("<polygon").count(), 2);
    assert!(fan.contains("Sample of 3 dimensions") && fan.contains("dimension\n"));
    let known = plot("--covariance three.csv --given 1=2");
    assert!(known.contains("Sample of x0 and x2") && known.contains("given x1 = 2"));
    let points = plot("--mean mean.csv --covariance covariance.csv --paths 500");
    // The paths, and the mean twice.
    assert_eq!(points.matches("<circle").count(), 500 + 2 + 2);
    assert!(points.contains("50 and 90 %"));
    let mixture = plot(&format!("{MIXTURE} two-covariances.npy"));
    assert!(mixture.contains("50 and 90 % of each component"));
    let one = plot("--covariance three.csv --given 1=2,2=0");
    assert!(one.contains("Sample of x0") && one.contains("density"));
    plot("--covariance singular.csv --on-singular semidefinite --given 0=3");
}

#[test]
fn mistakes_are_told_in_one_sentence() {
    let folder = Folder::new("mistakes");
    fs::write(folder.0.join("indefinite.csv"), "1,2\n2,1\n").expect("written");
    fs::write(folder.0.join("skew.csv"), "1,0.5\n0.4,1\n").expect("written");
    fs::write(folder.0.join("long.csv"), "1,1,1\n").expect("written");
    fs::write(folder.0.join("wide.csv"), "1,2,3\n4,5,6\n").expect("written");
    fs::write(folder.0.join("rare.csv"), "9999,1\n").expect("written");
    fs::write(folder.0.join("negative.csv"), "3,-1\n").expect("written");
    let full = "--covariance covariance.csv";
    for (args, expected) in [
        ("--covariance missing.csv".to_owned(), "missing.csv cannot be read"),
        ("--covariance wide.csv".to_owned(), "wide.csv: the shape is [2, 3], expected a square"),
        (
            "--covariance indefinite.csv".to_owned(),
            "indefinite.csv: the covariance is not positive definite",
        ),
        ("--covariance indefinite.csv".to_owned(), "--on-singular semidefinite, or a small"),
        ("--covariance indefinite.csv --on-singular semidefinite".to_owned(), "it is indefinite"),
        ("--covariance skew.csv".to_owned(), "average it with its transpose"),
        ("--covariance variances.csv --on-singular 0.1".to_owned(), "--on-singular is for a"),
        (format!("{full} --out x.txt"), ".npy, .csv or .parquet"),
        (format!("{full} --out missing/x.csv"), "missing/x.csv cannot be written"),
        (format!("{full} --plot missing/x.svg"), "missing/x.svg cannot be written"),
        ("--mean mean.csv --covariance long.csv".to_owned(), "2 means, but long.csv is of 3"),
        (format!("{full} --family diagonal"), "give a row of variances, or choose --family full"),
        ("--covariance variances.csv --family full".to_owned(), "give a square matrix, or choose"),
        (format!("{full} --family mixture"), "give --weights FILE"),
        (format!("{full} --family low-rank"), "give --loadings FILE"),
        (format!("{full} --loadings loadings.csv"), "give a row of variances beside the loadings"),
        (
            "--covariance long.csv --loadings loadings.csv".to_owned(),
            "loadings.csv: the shape is [2], expected [3, rank]",
        ),
        (format!("{MIXTURE} long.csv"), "expected [2, dim, dim] or [2, dim]"),
        (
            "--weights weights.csv --mean mean.csv --covariance two-variances.csv".to_owned(),
            "mean.csv: the shape is [2], expected [2, 2]",
        ),
        (
            "--weights negative.csv --mean means.csv --covariance two-variances.csv".to_owned(),
            "the mixture: weight 1 cannot be -1e0",
        ),
        (format!("{MIXTURE} two-variances.csv --family full"), "--weights are for a mixture"),
        (format!("{full} --given 2=1"), "--given 2: there is no such dimension, they are 0 to 1"),
        (format!("{full} --given 0=1,0=2"), "--given 0: it is given twice"),
        (format!("{full} --given 0=1,1=2"), "leave one to draw"),
        (format!("{full} --check --paths 99"), "draw at least 100 with --paths"),
        (
            "--weights rare.csv --covariance two-variances.csv --check".to_owned(),
            "draw at least 1000000 with --paths",
        ),
    ] {
        folder.refused(&args, expected);
    }
    for (more, expected) in
        [("--given 0", "as 3=0.5"), ("--on-singular soft", "expected refuse, semidefinite")]
    {
        let output = folder.run(&format!("{full} {more}"));
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}

/// Whoever ends it finds the file as it was, under its name. Not by the signal of an interrupt, which
/// a shell lets programs in the background ignore.
#[cfg(unix)]
#[test]
fn an_end_leaves_no_file_in_halves() {
    let folder = Folder::new("interrupt");
    for format in ["npy", "csv", "parquet"] {
        let name = format!("out.{format}");
        fs::write(folder.0.join(&name), "before").expect("written");
        let args = format!("--covariance covariance.csv --paths 1000000000 --out {name}");
        let mut child = folder.command(&args).spawn().expect("runs");
        let partial = folder.0.join(format!(".{name}.{}.partial", child.id()));
        let started = std::time::Instant::now();
        while fs::metadata(&partial).map_or(0, |m| m.len()) == 0 {
            assert!(started.elapsed().as_secs() < 60, "nothing is written");
            std::thread::yield_now();
        }
        let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(kill.expect("kill").success());
        assert!(!child.wait().expect("ends").success());
        assert_eq!(folder.read(&name), b"before");
        fs::remove_file(partial).expect("what is left has a hidden name");
    }
}

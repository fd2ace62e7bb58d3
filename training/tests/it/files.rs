//! Data in files: pictures in folders, tables in CSV and Parquet.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use carrel_training::prelude::*;
use image::{Rgb, RgbImage};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

fn write_picture(path: &Path, width: u32, height: u32, color: [u8; 3]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut picture = RgbImage::from_pixel(width, height, Rgb(color));
    picture.put_pixel(0, 0, Rgb([255, 0, 51]));
    picture.save(path).unwrap();
}

#[test]
fn folders_are_the_classes_of_the_pictures_in_them() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    write_picture(&folder.path().join("dogs/b.png"), 4, 2, [0, 0, 0]);
    write_picture(&folder.path().join("dogs/more/c.PNG"), 4, 2, [0, 0, 0]);
    write_picture(&folder.path().join("cats/a.jpg"), 4, 2, [10, 20, 30]);
    fs::write(folder.path().join("dogs/notes.txt"), "no picture")?;
    fs::write(folder.path().join("README"), "no class")?;
    let data = ImageFolder::open(folder.path())?;
    assert_eq!(data.classes(), ["cats", "dogs"]);
    assert_eq!(data.len(), 3);
    let (inputs, targets) = data.batch(&[1, 2])?;
    assert_eq!(
        (inputs.dims(), targets.to_vec1()?),
        (&[2, 3, 2, 4][..], vec![1u32, 1])
    );
    let corner: Vec<f32> = inputs.i((0, .., 0, 0))?.to_vec1()?;
    assert_eq!(corner, [1.0, 0.0, 0.2]);
    assert_eq!(inputs.i((0, .., 1, 3))?.to_vec1::<f32>()?, [0.0; 3]);

    let small = data.clone().resize(5, 6).normalize([0.5; 3], [0.25; 3]);
    let (inputs, targets) = small.batch(&[0, 1])?;
    assert_eq!(
        (inputs.dims(), targets.to_vec1()?),
        (&[2, 3, 5, 6][..], vec![0u32, 1])
    );
    assert_eq!(inputs.i((1, 0, 4, 5))?.to_scalar::<f32>()?, -2.0);
    assert_eq!(data.clone().gray().batch(&[2])?.0.dims(), [1, 1, 2, 4]);

    // Through a loader, as in training.
    let mut loader = DataLoader::new(small, 2).shuffle(1).epoch(0, 0);
    assert_eq!(loader.next().unwrap()?.0.dims(), [2, 3, 5, 6]);
    Ok(())
}

/// A notebook server leaves such folders wherever a file was edited.
#[test]
fn what_is_hidden_is_neither_a_class_nor_a_picture() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let picture = |name: &str| write_picture(&folder.path().join(name), 2, 2, [0, 0, 0]);
    for name in [
        "cats/a.png",
        "dogs/b.png",
        ".ipynb_checkpoints/a.png",
        "cats/.ipynb_checkpoints/a-checkpoint.png",
        "dogs/.b.png",
    ] {
        picture(name);
    }
    fs::create_dir(folder.path().join(".git"))?;
    let data = ImageFolder::open(folder.path())?;
    assert_eq!(
        (data.classes(), data.len()),
        (&["cats".into(), "dogs".into()][..], 2)
    );
    // What is hidden does not count for a class either.
    fs::remove_file(folder.path().join("dogs/b.png"))?;
    let said = ImageFolder::open(folder.path()).unwrap_err().to_string();
    assert!(said.contains("dogs has no pictures"), "{said}");
    Ok(())
}

#[test]
fn digits_that_stand_for_a_name_keep_their_form() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("people.csv");
    fs::write(
        &path,
        "id,zip,phone,age,part\n9007199254740993,01234,+49301,7,0.5\n9007199254740992,1234,49301,07,1.50\n         10,00000,49301,7,1.5\n",
    )?;
    let table = Table::csv(&path)?;
    let names = |column| -> anyhow::Result<_> { Ok(table.classes(column)?.1) };
    assert_eq!(names("id")?, ["10", "9007199254740992", "9007199254740993"]);
    assert_eq!(table.classes("id")?.0.to_vec1::<u32>()?, [2, 1, 0]);
    assert_eq!(names("zip")?, ["00000", "1234", "01234"]);
    assert_eq!(names("phone")?, ["49301", "+49301"]);
    // Plain numbers are what they are worth.
    assert_eq!(names("part")?, ["0.5", "1.5"]);
    assert_eq!(
        table.values("zip")?.flatten_all()?.to_vec1::<f32>()?,
        [1234.0, 1234.0, 0.0]
    );
    assert!(table.to_string().contains("01234") && table.html().contains("<td>01234</td>"));
    fs::write(&path, "zip\n01234\n\"\"\n02345\n")?;
    let table = Table::csv(&path)?;
    let whole = table.clone().drop_missing().classes("zip")?.1;
    assert_eq!(whole, ["01234", "02345"]);
    assert_eq!(
        table.fill("zip", 7.0)?.classes("zip")?.1,
        ["7", "01234", "02345"]
    );
    Ok(())
}

#[test]
fn pictures_that_do_not_fit_or_open_are_named() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let said = |path: &Path| ImageFolder::open(path).unwrap_err().to_string();
    assert!(said(&folder.path().join("no")).contains("cannot read"));
    assert!(said(folder.path()).contains("has no folders"));
    fs::create_dir(folder.path().join("empty"))?;
    assert!(said(folder.path()).contains("empty has no pictures"));
    fs::remove_dir(folder.path().join("empty"))?;
    write_picture(&folder.path().join("a/1.png"), 4, 2, [0; 3]);
    write_picture(&folder.path().join("a/2.png"), 5, 2, [0; 3]);
    fs::write(folder.path().join("a/3.png"), "no picture")?;
    let data = ImageFolder::open(folder.path())?;
    let said = |indices: &[usize]| data.batch(indices).unwrap_err().to_string();
    let message = said(&[0, 1]);
    assert!(
        message.contains("2.png has 5 x 2 pixels") && message.contains("`.resize(height, width)`"),
        "{message}"
    );
    assert!(said(&[2]).contains("cannot read the picture") && said(&[2]).contains("3.png"));
    assert!(said(&[3]).contains("there is no picture 3 among 3"));
    Ok(())
}

#[test]
fn columns_of_a_csv_file_become_tensors() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("people.csv");
    fs::write(
        &path,
        "age, height,name,grade\n30,1.5,\"b, c\",10\n,2,a,9\n31,-1e3,a,10\n",
    )?;
    let table = Table::csv(&path)?;
    assert_eq!(
        table.columns().collect::<Vec<_>>(),
        ["age", "height", "name", "grade"]
    );
    let (names, words) = table.classes("name")?;
    assert_eq!(
        (names.to_vec1::<u32>()?, words),
        (vec![1, 0, 0], vec!["a".to_owned(), "b, c".into()])
    );
    let (grades, words) = table.classes("grade")?;
    assert_eq!(
        (grades.to_vec1::<u32>()?, words),
        (vec![1, 0, 1], vec!["9".to_owned(), "10".into()])
    );
    let inputs = table.clone().fill("age", 7.0)?.inputs(&["height", "age"])?;
    assert_eq!(
        inputs.to_vec2::<f32>()?,
        [[1.5, 30.0], [2.0, 7.0], [-1000.0, 31.0]]
    );
    assert_eq!(
        table
            .clone()
            .drop_missing()
            .values("age")?
            .to_vec2::<f32>()?,
        [[30.0], [31.0]]
    );
    assert!(
        table.html().contains("<td>b, c</td>")
            && table.html().ends_with("<p>3 rows, 4 columns</p>")
    );
    assert!(table.to_string().ends_with("3 rows, 4 columns"), "{table}");

    let said = |error: Result<Tensor, _>| -> String {
        error
            .map_err(|error: carrel_training::data::TableError| error.to_string())
            .unwrap_err()
    };
    assert!(said(table.inputs(&["age"])).contains("`age` has no value in row 1"));
    assert!(said(table.inputs(&["name"])).contains("holds words, such as \"b, c\" in row 0"));
    assert!(
        said(table.values("size")).contains("no column `size`; there are age, height, name, grade")
    );
    fs::write(&path, "a,b\n1,2\n3\n")?;
    let message = Table::csv(&path).unwrap_err().to_string();
    assert!(
        message.contains("people.csv") && message.contains("line: 3"),
        "{message}"
    );
    let message = Table::csv(folder.path().join("no.csv"))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("cannot read") && message.contains("no.csv"),
        "{message}"
    );
    fs::write(folder.path().join("t.tsv"), "a\tb\n1\tx,y\n")?;
    assert_eq!(Table::csv(folder.path().join("t.tsv"))?.rows(), 1);
    Ok(())
}

#[test]
fn columns_of_a_parquet_file_become_tensors() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("t.parquet");
    let schema = parse_message_type(
        "message t { REQUIRED INT64 n; OPTIONAL DOUBLE x; REQUIRED BYTE_ARRAY w (UTF8); }",
    )?;
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer =
        SerializedFileWriter::new(fs::File::create(&path)?, Arc::new(schema), properties)?;
    let mut group = writer.next_row_group()?;
    let mut column = group.next_column()?.unwrap();
    column
        .typed::<Int64Type>()
        .write_batch(&[1, 2, 3], None, None)?;
    column.close()?;
    let mut column = group.next_column()?.unwrap();
    column
        .typed::<DoubleType>()
        .write_batch(&[0.5, 1.5], Some(&[1, 0, 1]), None)?;
    column.close()?;
    let mut column = group.next_column()?.unwrap();
    let words = ["u", "v", "u"].map(ByteArray::from);
    column
        .typed::<ByteArrayType>()
        .write_batch(&words, None, None)?;
    column.close()?;
    group.close()?;
    writer.close()?;

    let table = Table::parquet(&path)?;
    assert_eq!(table.columns().collect::<Vec<_>>(), ["n", "x", "w"]);
    let inputs = table.clone().fill("x", 9.0)?.inputs(&["n", "x"])?;
    assert_eq!(
        inputs.to_vec2::<f32>()?,
        [[1.0, 0.5], [2.0, 9.0], [3.0, 1.5]]
    );
    assert_eq!(table.classes("w")?.0.to_vec1::<u32>()?, [0, 1, 0]);

    fs::write(&path, "no parquet")?;
    let message = Table::parquet(&path).unwrap_err().to_string();
    assert!(
        message.contains("t.parquet") && message.contains("Parquet"),
        "{message}"
    );
    Ok(())
}

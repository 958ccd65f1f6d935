import pytest
from fake_fit import fake_fit

from kerasish.callbacks import CSVLogger


def test_a_row_is_written_per_epoch(tmp_path):
    path = tmp_path / "runs" / "log.csv"

    fake_fit(
        [CSVLogger(path)], [{"loss": 0.5, "acc": 0.25}, {"loss": 0.4, "val_loss": 1.0, "acc": 1}]
    )

    assert path.read_bytes() == (b"epoch,acc,loss,val_loss\r\n0,0.25,0.5,NA\r\n1,1,0.4,1.0\r\n")


def test_append_goes_on_in_the_columns_of_the_file(tmp_path):
    path = tmp_path / "log.csv"

    fake_fit([CSVLogger(path, separator=";")], [{"loss": 0.5}])
    fake_fit([CSVLogger(path, separator=";", append=True)], [{"extra": 1, "loss": 0.4}])

    assert path.read_text().splitlines() == ["epoch;loss", "0;0.5", "0;0.4"]


def test_append_to_nothing_writes_a_header(tmp_path):
    path = tmp_path / "log.csv"

    fake_fit([CSVLogger(path, append=True)], [{"loss": 0.5}])

    assert path.read_text().splitlines() == ["epoch,loss", "0,0.5"]


def test_a_new_run_begins_anew(tmp_path):
    logger = CSVLogger(tmp_path / "log.csv")

    fake_fit([logger], [{"loss": 0.5}])
    fake_fit([logger], [{"mae": 0.3}])

    assert (tmp_path / "log.csv").read_text().splitlines() == ["epoch,mae", "0,0.3"]


def test_rows_are_there_when_training_fails(tmp_path):
    path = tmp_path / "log.csv"

    with pytest.raises(KeyboardInterrupt):
        fake_fit([CSVLogger(path)], [{"loss": 0.5}, KeyboardInterrupt()])

    assert path.read_text().splitlines() == ["epoch,loss", "0,0.5"]


def test_the_file_is_that_of_keras(tmp_path):
    keras = pytest.importorskip("keras")
    logs = [{"loss": 0.5, "val_loss": [1, 2]}, {"loss": 0.4}]
    theirs = keras.callbacks.CSVLogger(str(tmp_path / "theirs.csv"))
    theirs.on_train_begin()
    for epoch, row in enumerate(logs):
        theirs.on_epoch_end(epoch, row)
    theirs.on_train_end()

    fake_fit([CSVLogger(tmp_path / "ours.csv")], logs)

    assert (tmp_path / "ours.csv").read_text() == (tmp_path / "theirs.csv").read_text()

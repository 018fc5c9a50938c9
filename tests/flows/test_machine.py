from flows import machine


def test_a_machine_is_shared_out() -> None:
    assert machine.places(None, 4, []) == [{"OMP_THREAD_LIMIT": "1"}] * 5
    assert machine.places(2, 5, []) == [{"OMP_THREAD_LIMIT": "2"}] * 2
    assert machine.places(8, 4, [])[0] == {"OMP_THREAD_LIMIT": "1"}
    gpus = machine.places(None, 16, ["0", "3"])
    assert [each["CUDA_VISIBLE_DEVICES"] for each in gpus] == ["0", "3"]

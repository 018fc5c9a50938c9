from flows import machine


def test_a_machine_is_divided() -> None:
    assert machine.divided(None, 4, []) == [{"OMP_THREAD_LIMIT": "1"}] * 5
    assert machine.divided(2, 5, []) == [{"OMP_THREAD_LIMIT": "2"}] * 2
    assert machine.divided(8, 4, [])[0] == {"OMP_THREAD_LIMIT": "1"}
    gpus = machine.divided(None, 16, ["0", "3"])
    assert [share["CUDA_VISIBLE_DEVICES"] for share in gpus] == ["0", "3"]

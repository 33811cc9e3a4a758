from polymodal.training import History


def test_plot_draws_both_losses() -> None:
    import matplotlib.pyplot as plt

    history = History((3.0, 2.0, 1.0), (3.0, 1.0, 2.0), (0.1, 0.1, 0.1), 2, False, 1.5, "cpu")
    axes = history.plot()
    training, validation, best = axes.lines
    assert list(training.get_ydata()) == [3, 2, 1]
    assert list(validation.get_xdata()) == [1, 2, 3]
    assert list(best.get_xdata()) == [2, 2]
    assert history.plot(axes) is axes
    assert history.epochs == 3
    plt.close(axes.figure)

"""Problems of the user's as one sentence."""


def sentence(problem: Exception) -> str:
    """What went wrong and where: a file's trouble names the file."""
    if isinstance(problem, OSError) and problem.strerror is not None:
        return (
            f"{problem.filename or 'a file'}: {problem.strerror}. Name another place, or mend it."
        )
    return str(problem)

"""Client of minivlm-server: captions, answers and match scores for pictures.

    with Client("http://localhost:8080") as c:
        print(c.caption("cat.jpg")["caption"])

`Client` blocks, `AsyncClient` does not; both have the same methods. What the service refuses is raised as `MiniVLMError`;
refusals that pass (429, 503) and lost connections are tried again, after the time that the service names."""
from ._batch import Outcome
from ._client import AsyncClient, Client
from ._request import MiniVLMError, Picture
from ._types import Answer, Caption, ImageInfo, Matches, Reranked

__all__ = ["Answer", "AsyncClient", "Caption", "Client", "ImageInfo", "Matches", "MiniVLMError", "Outcome", "Picture", "Reranked"]

"""A guest-book: messages in MongoDB, files in uploads/. Edit VERSION, commit and push."""

import os
from pathlib import Path

from flask import Flask, abort, redirect, render_template_string, request, send_from_directory
from pymongo import MongoClient
from werkzeug.utils import secure_filename
from werkzeug.wrappers import Response

VERSION = "1"
BROKEN = False  # True makes a version that is never healthy: push it, and see it undone

UPLOADS = Path(__file__).parent / "uploads"
PAGE = """<!doctype html>
<title>Guest-book {{ version }}</title>
<h1>Guest-book, version {{ version }}</h1>
<ul>{% for message in messages %}<li>{{ message.text }}</li>{% endfor %}</ul>
<form method="post" action="/messages"><input name="text" required><button>Write</button></form>
<ul>
{% for name in files %}
  <li><a href="/uploads/{{ name | urlencode }}">{{ name }}</a></li>
{% endfor %}
</ul>
<form method="post" action="/uploads" enctype="multipart/form-data">
  <input type="file" name="file" required><button>Upload</button>
</form>
"""

app = Flask(__name__)
database = MongoClient(
    os.environ["MONGODB_URI"], serverSelectionTimeoutMS=2000, tz_aware=True
).get_default_database()


@app.get("/")
def show() -> str:
    messages = list(database.messages.find().sort("_id"))
    files = sorted(file.name for file in UPLOADS.iterdir() if not file.name.startswith("."))
    return render_template_string(PAGE, version=VERSION, messages=messages, files=files)


@app.post("/messages")
def write() -> Response:
    database.messages.insert_one({"text": request.form["text"], "version": VERSION})
    return redirect("/", 303)


@app.post("/uploads")
def upload() -> Response:
    file = request.files["file"]
    name = secure_filename(file.filename or "") or abort(400)
    file.save(UPLOADS / name)
    return redirect("/", 303)


@app.get("/uploads/<name>")
def download(name: str) -> Response:
    return send_from_directory(UPLOADS, name, as_attachment=True)


@app.get("/healthz")
def healthz() -> tuple[dict[str, object], int]:
    database.command("ping")
    return {"healthy": not BROKEN, "version": VERSION}, 500 if BROKEN else 200


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=8000)

# SPDX-License-Identifier: GPL-2.0-or-later
"""What a service of some size imports at its start: some 300 files of the standard library."""
import argparse, array, ast, asyncio, base64, bisect, bz2, calendar, cmd, code, codecs, collections.abc  # noqa: F401, E401
import concurrent.futures, configparser, contextlib, copy, csv, ctypes, curses, datetime, decimal, difflib, dis  # noqa: F401, E401
import doctest, email.message, email.mime.multipart, email.mime.text, email.policy, enum, filecmp, fileinput  # noqa: F401, E401
import fractions, ftplib, functools, getpass, gettext, glob, gzip, hashlib, heapq, hmac, html.parser, http.client  # noqa: F401, E401
import http.cookiejar, http.server, imaplib, importlib.metadata, importlib.resources, inspect, ipaddress, json  # noqa: F401, E401
import logging.config, logging.handlers, lzma, mailbox, mimetypes, mmap, multiprocessing.pool, netrc  # noqa: F401, E401
import multiprocessing.managers, multiprocessing.shared_memory, numbers, optparse, pathlib, pdb, pickle, pickletools  # noqa: F401, E401
import pkgutil, platform, plistlib, poplib, pprint, profile, pstats, pty, py_compile, queue, quopri, random  # noqa: F401, E401
import resource, runpy, sched, secrets, select, selectors, shelve, shlex, shutil, site, smtplib, socketserver  # noqa: F401, E401
import sqlite3, ssl, statistics, string, stringprep, subprocess, symtable, sysconfig, tarfile, tempfile  # noqa: F401, E401
import textwrap, timeit, trace, tracemalloc, types, typing, unittest.mock, urllib.request, urllib.robotparser, uuid  # noqa: F401, E401
import venv, wave, weakref, wsgiref.simple_server, wsgiref.validate, xml.dom.minidom, xml.etree.ElementTree  # noqa: F401, E401
import xml.sax.expatreader, xmlrpc.client, xmlrpc.server, zipapp, zipfile, zipimport, zoneinfo  # noqa: F401, E401

"""What an exported release says of itself to programs: Croissant 1.0, a JSON-LD vocabulary.

Specification: http://mlcommons.org/croissant/1.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import pyarrow as pa

from braindata.tables.cards import Source
from braindata.tables.reading import Tables
from braindata.tables.releases import Release

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
# Only what has one address, whatever its version.
_ADDRESSES = {
    "CC0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "PDDL": "https://opendatacommons.org/licenses/pddl/1-0/",
    "ODC-By": "https://opendatacommons.org/licenses/by/1-0/",
    "ODbL": "https://opendatacommons.org/licenses/odbl/1-0/",
}


def croissant(
    name: str, tables: Tables, release: Release, sources: Sequence[Source]
) -> dict[str, Any]:
    """Return the JSON-LD document of an exported release."""
    names = ", ".join(f"{s.dataset} ({', '.join(s.versions)})" for s in sources)
    made_with = f"braindata {version('braindata')}"
    licences = sorted({one for source in sources for one in _licences(source)})
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": "Tables of what each brain region did, trial by trial, in many people, made "
        f"with {made_with} from {names or 'no data set'}.",
        "version": f"{release.number}.0.0",
        "datePublished": release.created,
        **({"license": licences} if licences else {}),
        "citeAs": f"Made with {made_with}; cite the data sets that it holds: {names or 'none'}.",
        "distribution": [
            {
                "@type": "cr:FileSet",
                "@id": f"{table}-files",
                "name": f"{table}-files",
                "encodingFormat": "application/x-parquet",
                "includes": f"{table}/*.parquet",
            }
            for table in tables
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": table,
                "name": table,
                "description": f"The table {table}: {len(tables[table]):,} rows.",
                "field": [_field(table, field) for field in tables[table].schema],
            }
            for table in tables
        ],
    }


def _licences(source: Source) -> list[str]:
    """Return addresses, or what is stated where the class has none."""
    if source.licence_classes and set(source.licence_classes) <= set(_ADDRESSES):
        return [_ADDRESSES[one] for one in source.licence_classes]
    return list(source.licences)


def _field(table: str, field: pa.Field) -> dict[str, Any]:
    metadata = {key.decode(): text.decode() for key, text in (field.metadata or {}).items()}
    unit = f" Unit: {metadata['unit']}." if "unit" in metadata else ""
    is_list = pa.types.is_list(field.type)
    return {
        "@type": "cr:Field",
        "@id": f"{table}/{field.name}",
        "name": field.name,
        "description": metadata.get("description", "") + unit,
        "dataType": _data_type(field.type.value_type if is_list else field.type),
        **({"repeated": True} if is_list else {}),
        "source": {"fileSet": {"@id": f"{table}-files"}, "extract": {"column": field.name}},
    }


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    if pa.types.is_string(kind):
        return "sc:Text"
    raise TypeError(f"Croissant has no data type for {kind}")

"""Rows and pictures for people: CSV, Markdown, PNG plots and one self-contained HTML page."""

from segue.report.content import Audio, Cell, Figure, Folded, Section, Table
from segue.report.extras import (
    Neighbour,
    Precision,
    predictions_section,
    provenance_section,
    quarantine_section,
    similarity_section,
)
from segue.report.label_plots import class_map, label_heatmap
from segue.report.markdown import markdown_sections
from segue.report.page import write_page, write_plots, write_report
from segue.report.prediction_plots import map_plot
from segue.report.sections import evaluation_sections
from segue.report.tables import markdown_table, write_rows_csv
from segue.report.transfer import nearest_section, nearest_table
from segue.report.transfer_plots import (
    CurvePoint,
    PrecisionPoint,
    few_label_plot,
    precision_plot,
    tags_bars,
)

__all__ = [
    "Audio",
    "Cell",
    "CurvePoint",
    "Figure",
    "Folded",
    "Neighbour",
    "Precision",
    "PrecisionPoint",
    "Section",
    "Table",
    "class_map",
    "evaluation_sections",
    "few_label_plot",
    "label_heatmap",
    "map_plot",
    "markdown_sections",
    "markdown_table",
    "nearest_section",
    "nearest_table",
    "precision_plot",
    "predictions_section",
    "provenance_section",
    "quarantine_section",
    "similarity_section",
    "tags_bars",
    "write_page",
    "write_plots",
    "write_report",
    "write_rows_csv",
]

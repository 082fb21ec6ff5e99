"""Connectors to engines that load data: dlt and Spark. Each needs the extra of its name, and is imported by itself."""

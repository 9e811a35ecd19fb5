"""A region that no set has, for benches that add one."""

REGION = """
level: valuation
regions:
  - name: anterior_caudate
    processes: [reward]
    references: ["O'Doherty et al. 2004, Science, doi:10.1126/science.1094285"]
    space: MNI152NLin2009aSym
    definition:
      kind: spheres
      grey_matter: false
      spheres:
        - {center: [-13, 14, 6], radius: 8, hemisphere: left, source: "made for a bench"}
        - {center: [13, 14, 6], radius: 8, hemisphere: right, source: "made for a bench"}
"""

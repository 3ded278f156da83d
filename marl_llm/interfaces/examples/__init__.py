"""Two runnable examples: `python -m marl_llm.interfaces.examples.pettingzoo_loop`, and
`rllib_loop`.
"""

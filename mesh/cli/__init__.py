"""`meshctl`: one module a verb. Puts the components together for people; holds no logic of the mesh."""
